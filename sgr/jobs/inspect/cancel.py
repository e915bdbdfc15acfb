"""Cancel the jobs of a row."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress

from sgr.errors import UserError
from sgr.jobs.inspect.listing import ACTIVE, Listed, jobs
from sgr.jobs.slurm.squeue import ask
from sgr.jobs.store import JobStore


def cancel(store: JobStore, row: str) -> list[str]:
    """Cancel what is queued or runs of a row, pending jobs first; a line on what was done with each.

    SLURM's jobs by scancel, a process of this machine by SIGTERM. What they have written stays: run again, they resume.

    Raises UserError if no job of the store is of that row, or SLURM does not answer.
    """
    found = jobs(store)
    if row not in (rows := sorted({job.row for job in found} - {""})):
        raise UserError(f"{row}: no job is of that row, the rows with jobs are {', '.join(rows) or 'none'}")
    active = [job for job in found if job.row == row and job.state in ACTIVE]
    return [_cancel(job) for job in sorted(active, key=lambda job: job.state)]


def _cancel(job: Listed) -> str:
    what = " ".join(filter(None, [job.kind, job.seed and f"seed {job.seed}", f"({job.folder.name})"]))
    if job.queued:
        ask("scancel", job.queued.id)
        return f"{what}: cancelled SLURM job {job.queued.id}, which was {job.shown_state}"
    if job.holder is None:
        return f"{what}: is just starting, cancel it again"
    if job.holder.host != socket.gethostname():
        return f"{what}: left alone, process {job.holder.pid} of {job.holder.host} runs it: cancel it there"
    with suppress(ProcessLookupError):  # it ended meanwhile
        os.kill(job.holder.pid, signal.SIGTERM)
    return f"{what}: sent SIGTERM to process {job.holder.pid}"
