"""What a job store holds that nothing refers to any more, and its removal."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sgr.files import read_json
from sgr.jobs.inspect.listing import ACTIVE, Listed, jobs
from sgr.jobs.job import Job
from sgr.jobs.locks import is_running, locked
from sgr.jobs.slurm.squeue import active
from sgr.jobs.store import KEY, JobStore, identity

# what is younger may just be being made
FRESH_SECONDS = 3600

REMOVED = ".removed-"


class Leftover(NamedTuple):
    """A folder to remove, what it is, its bytes, and the seconds since it was last launched or written."""

    folder: Path
    what: str
    bytes: int
    age: float


def leftovers(store: JobStore, refers_to: Callable[[Job], bool]) -> list[Leftover]:
    """Jobs that nothing refers to, folders without a job, code and submissions of no other job; largest first.

    Jobs that are queued or run are none, nor are those whose results they start from.

    Args:
        refers_to: whether the project still refers to a job; `settings` and `where` are JSON values there.
    """
    found = jobs(store)
    needed = {value for job in found if job.state in ACTIVE for value in job.job.inputs.values()}

    def stays(job: Listed) -> bool:
        return job.state in ACTIVE or bool(_known_as(job) & needed) or refers_to(job.job)

    old = [_leftover(job.folder, _about(job), job.age) for job in found if not stays(job)]
    used = {name for job in found if stays(job) for name in (job.code, _submission(job.folder))}
    code, submissions = (
        [path for path in store.root.glob(f"{kind}/*") if path.name not in used]
        for kind in ("code", "submissions")
    )
    jobless = {path for pattern in (KEY, f"{REMOVED}*") for path in store.root.glob(pattern)}
    empty = sorted(jobless - {job.folder for job in found})
    nameless = [("code snapshot", code), ("submission", submissions), ("no job", empty)]
    made = [_leftover(path, what) for what, paths in nameless for path in paths]
    old += [leftover for leftover in made if leftover.age > FRESH_SECONDS]
    return sorted(old, key=lambda leftover: -leftover.bytes)


def remove(leftover: Leftover) -> bool:
    """Remove a leftover, unless it is queued or runs by now; whether it is gone."""
    folder = leftover.folder
    with locked(folder, "submit.lock"):
        if is_running(folder) or active([folder]):
            return False
        # renamed first: a removal that is cut short leaves no half of a job
        aside = folder.with_name(REMOVED + folder.name.removeprefix(REMOVED))
        folder.rename(aside)
    shutil.rmtree(aside)
    return True


def _submission(folder: Path) -> str | None:
    record = folder / "slurm.json"
    return read_json(record).get("submission") if record.exists() else None


def _known_as(job: Listed) -> set[str]:
    """What the inputs of other jobs call a job."""
    return {job.folder.name, *([identity(job.folder)] if job.state == "finished" else [])}


def _about(job: Listed) -> str:
    return " ".join(filter(None, [job.state, job.kind, job.row, job.seed and f"seed {job.seed}"]))


def _leftover(folder: Path, what: str, age: float | None = None) -> Leftover:
    files = [path.lstat() for path in folder.rglob("*") if not path.is_dir()]
    written = max([folder.stat().st_mtime, *(file.st_mtime for file in files)])
    total = sum(file.st_size for file in files)
    return Leftover(folder, what, total, time.time() - written if age is None else age)
