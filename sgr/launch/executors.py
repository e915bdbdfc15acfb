"""Bring jobs to their end: take what has finished, attach to what runs, start the rest on the executor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sgr.launch import processes
from sgr.launch.cluster import Cluster
from sgr.launch.failure import interrupted
from sgr.launch.locks import is_running
from sgr.launch.store import Job, JobStore


def run(jobs: Sequence[Job], cluster: Cluster) -> list[Path]:
    """Folders of the finished jobs, in order; artefacts leave them by `JobStore.take`.

    On SLURM all jobs are submitted at once; `local` runs `max_jobs` side by side, `inline` one at a time. After
    Ctrl-C the process exits with status 130: an inline job has stopped, the others run on. In each case the same
    call attaches or resumes. Raises UserError if a job cannot start and JobError for the first that fails.
    """
    try:
        return _run(jobs, cluster)
    except KeyboardInterrupt:
        raise interrupted(
            "stopped: run the command again, it attaches to what runs and resumes the rest"
        ) from None


def _run(jobs: Sequence[Job], cluster: Cluster) -> list[Path]:
    store = JobStore(cluster.jobs)
    while unfinished := [job for job in jobs if not store.finished(job)]:
        if _wait_for_slurm(unfinished, cluster):
            continue
        job = unfinished[0]
        folder = store.folder(job)
        if is_running(folder):
            processes.attach(folder)
        elif cluster.executor == "inline":
            processes.inline(store, job)
        elif cluster.executor == "local":
            idle = [job for job in unfinished if not is_running(store.folder(job))]
            processes.local(store, idle, cluster.max_jobs or 1)
    return [store.folder(job) for job in jobs]


def _wait_for_slurm(jobs: list[Job], cluster: Cluster) -> bool:
    # Whatever the executor is now, a job may still be in the queue from an earlier day.
    folders = [JobStore(cluster.jobs).folder(job) for job in jobs]
    if cluster.executor != "slurm" and not any((folder / "slurm.json").exists() for folder in folders):
        return False
    from sgr.launch import slurm, squeue

    if cluster.executor == "slurm":
        ids = [slurm.submit(job, cluster).id for job in jobs]
        queue = {folder: identity for folder, identity in zip(folders, ids, strict=True) if identity}
    else:
        queue = {folder: found.id for folder, found in squeue.active(folders).items()}
    squeue.wait(queue)
    return bool(queue)
