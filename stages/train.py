"""Stage: train a row, one job a seed. `python -m stages.train <profile> <row>`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from stages.common import ABOUT, about_training, run, run_and_take


def main(profile: str, row: str, kind: str = "train") -> None:
    """Write work/<profile>/train/<row>/ (about.json, <seed>/) and results/<profile>/curves/<dataset>/<row>.csv."""
    from sgr.files import write_bytes, write_json
    from sgr.plan.jobs import stored

    entry, jobs, folder = run_and_take(kind, profile, row)
    for seed, trained in stored(jobs).items():
        write_json(folder / str(seed) / "job.json", {"identity": trained.identity})
    write_json(folder / ABOUT, about_training(profile, entry))
    curves = join_curves(folder, entry.seeds).encode()
    write_bytes(Path("results", profile, "curves", entry.results, f"{row}.csv"), curves)


def join_curves(folder: Path, seeds: tuple[int, ...]) -> str:
    """The curves of all seeds as one CSV with a first column `seed`."""
    rows: list[list[Any]] = []
    for seed in seeds:
        header, *lines = csv.reader((folder / str(seed) / "curve.csv").read_text().splitlines())
        rows += [["seed", *header]] if not rows else []
        rows += [[seed, *line] for line in lines]
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


if __name__ == "__main__":
    run(main, "profile", "row")
