"""Curves where `dvc plots` and editors look for those of DVCLive, and a few numbers for `dvc exp show`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sgr.files import write_bytes, write_json
from sgr.watch.runs import Run

PLOTS = Path("dvclive", "plots", "metrics")
METRICS = Path("dvclive", "metrics.json")


def write(runs: Sequence[Run]) -> None:
    """Write dvclive/plots/metrics/{loss,miou}/<dataset>.tsv, rows, seeds and iterations below each other.

    And dvclive/metrics.json: of each dataset with trainings that have not ended, what part of their iterations is done,
    and the highest of their newest mIoU. Files that would not change are not touched; what nobody trains now goes.
    """
    wanted: dict[Path, bytes] = {}
    for dataset in dict.fromkeys(run.dataset for run in runs):
        of_dataset = [run for run in runs if run.dataset == dataset]
        wanted[PLOTS / "loss" / f"{dataset}.tsv"] = _table("loss", [(run, run.loss) for run in of_dataset])
        if any(run.miou for run in of_dataset):
            wanted[PLOTS / "miou" / f"{dataset}.tsv"] = _table(
                "mIoU", [(run, run.miou) for run in of_dataset]
            )
    for path in PLOTS.glob("*/*.tsv"):
        if path not in wanted:
            path.unlink()
    for path, content in wanted.items():
        if not path.exists() or path.read_bytes() != content:
            write_bytes(path, content)
    if numbers := _numbers(runs):
        write_json(METRICS, numbers)
    else:
        METRICS.unlink(missing_ok=True)


def _table(name: str, curves: Sequence[tuple[Run, dict[int, float]]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["row", "seed", "step", name])
    for run, curve in curves:
        writer.writerows([run.name, run.job.seed, step, value] for step, value in sorted(curve.items()))
    return text.getvalue().encode()


def _numbers(runs: Sequence[Run]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    going = [run for run in runs if run.loss and not run.ended]
    for dataset in dict.fromkeys(run.dataset for run in going):
        of_dataset = [run for run in going if run.dataset == dataset]
        done = sum(max(run.loss) for run in of_dataset) / sum(run.iterations for run in of_dataset)
        newest = [run.miou[max(run.miou)] for run in of_dataset if run.miou]
        found[dataset] = {"trained": round(done, 3)} | ({"miou": round(max(newest), 2)} if newest else {})
    return {"live": found} if found else {}
