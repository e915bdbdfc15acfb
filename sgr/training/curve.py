"""The loss curve while it grows: kept for the checkpoint, shown live through DVCLive, and told to whoever waits."""

from __future__ import annotations

import time
from pathlib import Path

from dvclive.live import Live

from sgr.files import write_json

TELL_SECONDS = 1.0


class Curve:
    """Rows of named numbers by iteration.

    Args:
        folder: of the job. DVCLive writes one TSV a number to `dvclive/`; `progress.json` holds the newest `iteration`
            and `loss`, `iterations` and an estimate of `seconds_left`.
        rows: of a resumed run; DVCLive's files are written anew from them, so that they never hold what the
            checkpoint does not.
        iterations: of the whole training.
    """

    def __init__(self, folder: Path, rows: list[dict[str, float]], iterations: int) -> None:
        self.rows: list[dict[str, float]] = []
        self._progress, self._iterations = folder / "progress.json", iterations
        self._live = Live(str(folder / "dvclive"), resume=False, save_dvc_exp=False, dvcyaml=None)
        for row in rows:
            self._add(row)
        self._start = int(rows[-1]["iteration"]) if rows else 0
        self._began, self._told = time.monotonic(), -float("inf")

    def log(self, row: dict[str, float]) -> None:
        """Add a row; `iteration` is the step."""
        self._add(row)
        if time.monotonic() - self._told < TELL_SECONDS:
            return
        self._told = time.monotonic()
        iteration = int(row["iteration"])
        pace = (self._told - self._began) / (iteration - self._start)
        left = pace * (self._iterations - iteration)
        told = {"iteration": iteration, "iterations": self._iterations, "loss": row["loss"]}
        write_json(self._progress, {**told, "seconds_left": round(left, 1)})

    def _add(self, row: dict[str, float]) -> None:
        self.rows.append(row)
        self._live.step = int(row["iteration"])
        for name, value in row.items():
            if name != "iteration":
                self._live.log_metric(name, value)
        self._live.make_summary()
