"""Submit jobs to SLURM unless they have finished or are on their way: submit or attach."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs.cluster import Cluster
from sgr.jobs.job import Job
from sgr.jobs.locks import is_running, locked
from sgr.jobs.provenance import launched
from sgr.jobs.slurm.arrays import arrays, most_awaited_first
from sgr.jobs.slurm.check import check
from sgr.jobs.slurm.sbatch import sbatch
from sgr.jobs.slurm.squeue import active, await_answer
from sgr.jobs.snapshot import snapshot
from sgr.jobs.store import JobStore

# How long the sbatch of a submitter that was killed may still be at work.
SBATCH_SECONDS = 10


class Submission(NamedTuple):
    """What `submit` found or did: `finished`, `attached` (it was queued or running) or `submitted`.

    id: the SLURM job; None if it has finished or runs outside SLURM.
    """

    state: str
    id: str | None


def submit(jobs: Sequence[Job], cluster: Cluster) -> list[Submission]:
    """Submit those of the jobs that have not finished, are not queued and do not run; returns one entry a job.

    A job starts once those of its `after` have finished. Two processes that submit at once submit a job once.

    Raises:
        UserError: without sbatch, if it refuses, if the code is not that of the plan, or if a job of an `after` is
            neither finished, queued nor among `jobs`.
    """
    store = cluster.store
    if shutil.which("sbatch") is None:
        raise UserError(
            "the executor is slurm, but there is no sbatch on PATH: set `executor` in cluster.yaml"
        )
    store.make()
    await_answer()
    by_key = {job.key: job for job in jobs}
    with ExitStack() as locks:
        for key in sorted(by_key):
            locks.enter_context(locked(store.root / key, "submit.lock"))
        found = _found(store, by_key)
        new = [job for key, job in by_key.items() if key not in found]
        if new:
            found |= _submit(store, new, found, cluster)
    return [found[job.key] for job in jobs]


def _found(store: JobStore, jobs: dict[str, Job]) -> dict[str, Submission]:
    """What is finished, queued or running already, by key."""
    found = {key: Submission("finished", None) for key, job in jobs.items() if store.finished(job)}
    folders = [store.root / key for key in jobs.keys() - found.keys()]
    queued = active(folders)
    deadline = time.monotonic() + SBATCH_SECONDS
    while (
        any(_in_doubt(folder) for folder in folders if folder not in queued) and time.monotonic() < deadline
    ):
        time.sleep(0.5)
        queued = active(folders)
    for folder in folders:
        if folder in queued or is_running(folder):
            identity = queued[folder].id if folder in queued else None
            found[folder.name] = Submission("attached", identity)
    return found


def _in_doubt(folder: Path) -> bool:
    """Whether a submitter was about to submit the job and never said what became of it."""
    return (folder / "slurm.json").exists() and read_json(folder / "slurm.json").get("id") is None


def _submit(
    store: JobStore, new: list[Job], found: dict[str, Submission], cluster: Cluster
) -> dict[str, Submission]:
    ids = _awaited_ids(store, new, found)
    for job in new:
        if job.kind.ranks:
            cluster.project.check_ranks(job, cluster.slurm.processes)
    check(cluster)
    code = snapshot(store.root, cluster.project, new)
    launch = launched("slurm", code, cluster.project)
    for job in new:
        store.prepare(job, launch)
    submitted: dict[str, str] = {}
    waiting = most_awaited_first(new, new)
    while waiting:
        left = {job.key for job in waiting}
        ready = [job for job in waiting if not any(first.key in left for first in job.after)]
        for array in arrays(ready, ids | submitted):
            submitted |= sbatch(store, array, cluster, code)
        waiting = [job for job in waiting if job.key not in submitted]
    return {key: Submission("submitted", identity) for key, identity in submitted.items()}


def _awaited_ids(store: JobStore, new: list[Job], found: dict[str, Submission]) -> dict[str, str]:
    """SLURM ids of the unfinished jobs that `new` ones wait for and that are queued already, by key."""
    keys = {job.key for job in new}
    awaited = {first.key: first for job in new for first in job.after if first.key not in keys}
    unfinished = {store.folder(first): first for first in awaited.values() if not store.finished(first)}
    queued = active(unfinished)
    for folder, first in unfinished.items():
        if folder not in queued and not store.finished(first):
            raise UserError(
                f"job {first.key} ({first.kind.name}) must finish first, and is neither finished nor queued: "
                "submit it too"
            )
    return {folder.name: found.id for folder, found in queued.items()}
