"""What trains now, or did a short while ago: told by the job folders alone."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs.job import Job
from sgr.jobs.store import KEY, JobStore
from sgr.kinds import TRAIN, TRANSFER

LOSS = "dvclive/plots/metrics/loss.tsv"
RECENT_SECONDS = 24 * 3600.0


@dataclass
class Run:
    """A training and its curves: `loss` and `miou` in 0..100 by iteration.

    name: its row; and the start of its key, where a newer training has that row and seed.
    """

    folder: Path
    job: Job
    name: str
    loss: dict[int, float] = field(default_factory=dict)
    miou: dict[int, float] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """Manifests are named by it."""
        return Path(self.job.where["manifest"]).stem

    @property
    def iterations(self) -> int:
        """Of the whole training."""
        return int(self.job.settings["loop"]["iterations"])

    @property
    def ended(self) -> bool:
        """Whether it has finished or failed."""
        return any((self.folder / name).exists() for name in ("done.json", "failed.json"))


class Runs:
    """The trainings of a store, looked at again and again.

    Args:
        rows: whose trainings are meant; all if there are none.
    """

    def __init__(self, store: JobStore, rows: tuple[str, ...] = ()) -> None:
        self._store, self._rows = store, rows
        self._known: dict[Path, Run | None] = {}

    def look(self) -> list[Run]:
        """Those whose curve grew within a day, with what stands in it now, by dataset, row and seed."""
        grown = dict(sorted(self._grown(), key=lambda found: found[1], reverse=True))
        runs, names = [], set[tuple[str, int | None]]()
        for folder in grown:
            if folder not in self._known:
                self._known[folder] = self._run(folder)
            if run := self._known[folder]:
                taken = (run.job.row, run.job.seed) in names
                names.add((run.job.row, run.job.seed))
                run.name = f"{run.job.row} {folder.name[:6]}" if taken else run.job.row
                run.loss = curve(folder / LOSS)
                runs.append(run)
        return sorted(runs, key=lambda run: (run.dataset, run.name, run.job.seed or 0))

    def _grown(self) -> Iterator[tuple[Path, float]]:
        since = time.time() - RECENT_SECONDS
        for path in self._store.root.glob(f"{KEY}/{LOSS}"):
            with suppress(FileNotFoundError):  # DVCLive writes it anew when a training goes on
                if (changed := path.stat().st_mtime) > since:
                    yield path.parents[3], changed

    def _run(self, folder: Path) -> Run | None:
        with suppress(UserError):
            job = Job.load(folder)
            if job.kind.name in (TRAIN.name, TRANSFER.name) and (not self._rows or job.row in self._rows):
                return Run(folder, job, job.row)
        return None


def curve(path: Path) -> dict[int, float]:
    """What DVCLive wrote of one number, by step; nothing if it is not there. A line that is being written is left."""
    with suppress(FileNotFoundError):
        whole = path.read_text().rpartition("\n")[0].splitlines()
        return {int(step): float(value) for step, value in list(csv.reader(whole, delimiter="\t"))[1:]}
    return {}


def recorded(path: Path) -> dict[str, Any]:
    """A JSON file that may not be there."""
    with suppress(UserError):
        found: dict[str, Any] = read_json(path)
        return found
    return {}
