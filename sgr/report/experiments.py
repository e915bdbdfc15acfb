"""Finished DVC experiments as points (K, L, mIoU): what `dvc exp show --json` says."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from sgr.errors import UserError

from .names import parts

SWEPT = ("sgr.K", "sgr.L")


class Point(NamedTuple):
    """One row's result in one experiment.

    Attributes:
        setting: every other parameter, so that only experiments that differ in K and L share a line.
        miou: single-scale mIoU, percent, mean over seeds.
    """

    profile: str
    dataset: str
    row: str
    setting: str
    K: int
    L: int
    miou: float


def show() -> list[dict[str, Any]]:
    """`dvc exp show --json` of this repository. Raises UserError when DVC refuses."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "show", "--json"], capture_output=True, text=True
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"`dvc exp show --json` failed, run it in the repository's root: {reason}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def points(shown: list[dict[str, Any]]) -> list[Point]:
    """Every row with SGR of every finished experiment and commit.

    An experiment carries the results of rows that it did not train: such a result is the same file as before
    under another K or L, and is left out.
    """
    found: list[Point] = []
    first: dict[tuple[str, str], tuple[int, int]] = {}
    for data in _finished(shown):
        parameters = _flat(data.get("params", {}).get("params.yaml", {}).get("data", {}))
        K, L = (_effective(parameters, name) for name in SWEPT)
        if not isinstance(K, int) or not isinstance(L, int):
            continue
        setting = json.dumps(parameters, sort_keys=True, default=str)
        for path, metric in (data.get("metrics") or {}).items():
            result = metric.get("data") or {}
            place = PurePosixPath(path).parts
            miou = _miou(result)
            if (
                len(place) != 4
                or place[0] != "results"
                or miou is None
                or parts(PurePosixPath(path).stem).component != "sgr"
            ):
                continue
            same = (path, json.dumps(result, sort_keys=True))
            if first.setdefault(same, (K, L)) == (K, L):
                found.append(Point(place[1], place[2], PurePosixPath(path).stem, setting, K, L, miou))
    return list(dict.fromkeys(found))


def _finished(shown: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Commits first: what an experiment has in common with its commit was not trained by it."""
    for entry in shown:
        if entry.get("rev") != "workspace" and entry.get("data"):
            yield entry["data"]
    for entry in shown:
        for experiment in entry.get("experiments") or []:
            state = (experiment.get("executor") or {}).get("state")
            newest = (experiment.get("revs") or [{}])[0]
            if state in (None, "success") and newest.get("data"):
                yield newest["data"]


def _effective(parameters: dict[str, Any], name: str) -> Any:
    """Take a parameter out of the flat ones: its own value, or its profile's where that is null."""
    profile = parameters.pop(f"profiles.{parameters.get('profile')}.{name}", None)
    own = parameters.pop(name, None)
    return profile if own is None else own


def _miou(result: dict[str, Any]) -> float | None:
    """Mean over seeds on val, or on test where the dataset has no val."""
    values = []
    for of_split in (result.get("seeds") or {}).values():
        metrics = of_split.get("val") or of_split.get("test") or {}
        if isinstance(metrics.get("miou_ss"), int | float):
            values.append(float(metrics["miou_ss"]))
    return statistics.mean(values) if values else None


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
