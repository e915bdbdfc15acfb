"""The same curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sgr.watch.runs import Run

FOLDER = Path("dvclive", "tensorboard")


class Board:
    """Writes to dvclive/tensorboard/<dataset>/<row>/<seed>."""

    def __init__(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer_of: Any = SummaryWriter
        self._writers: dict[Path, Any] = {}
        self._shown: dict[tuple[Path, str], int] = {}

    def write(self, runs: Sequence[Run]) -> None:
        """Add what is new of each curve."""
        for run in runs:
            if run.folder not in self._writers:
                folder = FOLDER / run.dataset / run.name / str(run.job.seed)
                for old in folder.glob("events.out.tfevents.*"):  # of an earlier watch, which showed the same
                    old.unlink()
                self._writers[run.folder] = self._writer_of(str(folder))
            writer = self._writers[run.folder]
            for name, curve in (("loss", run.loss), ("mIoU", run.miou)):
                shown = self._shown.get((run.folder, name), 0)
                for step in sorted(step for step in curve if step > shown):
                    writer.add_scalar(name, curve[step], step)
                    self._shown[run.folder, name] = step
            writer.flush()
