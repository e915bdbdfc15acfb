"""Bring jobs to their end: take what has finished, attach to what runs, start the rest on the executor."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sgr.jobs.cluster import Cluster
from sgr.jobs.failure import JobError, interrupted
from sgr.jobs.job import Job
from sgr.jobs.locks import is_running
from sgr.jobs.run import processes


def run(jobs: Sequence[Job], cluster: Cluster) -> list[Path]:
    """Folders of the finished jobs, in order; artefacts leave them by `JobStore.take`.

    A job starts once those of its `after`, which are among `jobs` or have finished, are done. On SLURM all jobs are
    submitted at once; `local` runs `max_jobs` side by side, `inline` one at a time. After Ctrl-C the process exits with
    status 130: an inline job has stopped, the others run on. In each case the same call attaches or resumes. Raises
    UserError if a job cannot start and JobError for the first that fails.
    """
    try:
        return _run(jobs, cluster)
    except KeyboardInterrupt:
        raise interrupted(
            "stopped: run the command again, it attaches to what runs and resumes the rest"
        ) from None


def here(jobs: Sequence[Job], cluster: Cluster) -> list[JobError]:
    """Run the jobs on this machine, side by side, and return what failed; a failure stops only what waits for it.

    Jobs that have finished or run elsewhere are left alone. With the executor `inline` the jobs end with this process
    and resume later; with `local` they run on after Ctrl-C.
    """
    from sgr.jobs.slurm.squeue import active

    store = cluster.store
    store.make()
    folders = {store.folder(job): job for job in jobs if not store.finished(job)}
    queued = active(folders)
    idle = [job for folder, job in folders.items() if folder not in queued and not is_running(folder)]
    side_by_side = cluster.max_jobs or spare(max((job.threads or 1 for job in idle), default=1))
    failed = []
    try:
        for error in processes.local(cluster, idle, side_by_side, outlive=cluster.executor == "local"):
            print(f"error: {error}", file=sys.stderr)
            failed.append(error)
    except KeyboardInterrupt:
        raise interrupted("stopped: run the command again, it resumes") from None
    return failed


def spare(threads: int) -> int:
    """How many jobs of `threads` threads this machine runs side by side; one where they would share a GPU."""
    if Path("/proc/driver/nvidia").exists():
        return 1
    return max(1, len(os.sched_getaffinity(0)) // threads)


def _run(jobs: Sequence[Job], cluster: Cluster) -> list[Path]:
    store = cluster.store
    store.make()
    while unfinished := [job for job in jobs if not store.finished(job)]:
        if _wait_for_slurm(unfinished, cluster):
            continue
        job = next(job for job in unfinished if store.ready(job))
        folder = store.folder(job)
        if is_running(folder):
            processes.attach(folder)
        elif cluster.executor == "inline":
            processes.inline(cluster, job)
        elif cluster.executor == "local":
            idle = [job for job in unfinished if not is_running(store.folder(job))]
            for error in processes.local(cluster, idle, cluster.max_jobs or 1):
                raise error
    return [store.folder(job) for job in jobs]


def _wait_for_slurm(jobs: list[Job], cluster: Cluster) -> bool:
    # Whatever the executor is now, a job may still be in the queue from an earlier day.
    folders = [cluster.store.folder(job) for job in jobs]
    if cluster.executor != "slurm" and not any((folder / "slurm.json").exists() for folder in folders):
        return False
    from sgr.jobs.slurm import squeue
    from sgr.jobs.slurm.submit import submit

    if cluster.executor == "slurm":
        ids = [submission.id for submission in submit(jobs, cluster)]
        queue = {folder: identity for folder, identity in zip(folders, ids, strict=True) if identity}
    else:
        queue = {folder: found.id for folder, found in squeue.active(folders).items()}
    squeue.wait(queue)
    return bool(queue)
