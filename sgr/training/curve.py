"""The loss curve while it grows: kept for the checkpoint, and shown live through DVCLive."""

from __future__ import annotations

from pathlib import Path

from dvclive.live import Live


class Curve:
    """Rows of named numbers by iteration.

    Args:
        folder: where DVCLive writes one TSV a number.
        rows: of a resumed run; DVCLive's files are written anew from them, so that they never hold what the
            checkpoint does not.
    """

    def __init__(self, folder: Path, rows: list[dict[str, float]]) -> None:
        self.rows: list[dict[str, float]] = []
        self._live = Live(str(folder), resume=False, save_dvc_exp=False, dvcyaml=None)
        for row in rows:
            self.log(row)

    def log(self, row: dict[str, float]) -> None:
        """Add a row; `iteration` is the step."""
        self.rows.append(row)
        self._live.step = int(row["iteration"])
        for name, value in row.items():
            if name != "iteration":
                self._live.log_metric(name, value)
        self._live.make_summary()
