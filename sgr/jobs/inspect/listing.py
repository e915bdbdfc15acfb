"""The jobs of a store and how each stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs.job import Job
from sgr.jobs.locks import Holder, holder
from sgr.jobs.provenance import launch
from sgr.jobs.run.status import Queued
from sgr.jobs.slurm.squeue import active, output
from sgr.jobs.store import JobStore, is_finished

# in the order of the listing
ACTIVE = ("running", "pending")
STATES = (*ACTIVE, "failed", "lost", "unfinished", "damaged", "finished")


@dataclass(frozen=True)
class Listed:
    """One job of the store.

    state: `running` or `pending` (SLURM says so, or a process holds the folder), `failed` (its own error), `lost`
        (SLURM no longer knows it, and it left no result), `unfinished` (its process ended, or none began), `damaged`
        (its done.json does not match) or `finished`.
    launched: when it was last submitted or started, None if that is not recorded.
    code: name of the snapshot that it runs from, if any.
    queued: what SLURM holds; holder: the process that holds the folder.
    """

    folder: Path
    job: Job
    state: str
    launched: datetime | None
    code: str | None
    queued: Queued | None
    holder: Holder | None

    @property
    def kind(self) -> str:
        """The name of the job's kind."""
        return self.job.kind.name

    @property
    def row(self) -> str:
        """What the job was called, or nothing."""
        return self.job.row

    @property
    def seed(self) -> str:
        """The seed, or nothing for a job without one."""
        return "" if self.job.seed is None else str(self.job.seed)

    @property
    def shown_state(self) -> str:
        """The state, with SLURM's reason if it is pending."""
        reason = self.queued.state.partition(" ")[2] if self.queued else ""
        return f"{self.state} {reason}".strip()

    @property
    def age(self) -> float | None:
        """Seconds since the launch."""
        return None if self.launched is None else (datetime.now(UTC) - self.launched).total_seconds()

    @property
    def id(self) -> str:
        """Of SLURM if it ever was there, else of the process that runs it."""
        if self.queued:
            return self.queued.id
        if self.holder:
            return f"pid {self.holder.pid}"
        record = self.folder / "slurm.json"
        return str(read_json(record).get("id") or "") if record.exists() else ""

    @property
    def node(self) -> str:
        """Where it runs."""
        if self.queued:
            return self.queued.node
        return self.holder.host if self.holder else ""

    @property
    def log(self) -> Path | None:
        """The job's log, or what SLURM wrote if the job never came so far."""
        logs = [self.folder / "log.txt", *([output(self.folder)] if self.queued else [])]
        return next((log for log in logs if log.exists()), None)


def jobs(store: JobStore) -> list[Listed]:
    """All jobs of the store: running first, finished last, then by row, kind and seed.

    A folder that tells of no job is left out. Raises UserError if SLURM has a queue and it does not answer.
    """
    folders = list(store.folders())
    queue = active(folder for folder in folders if (folder / "slurm.json").exists())
    found = [listed for folder in folders if (listed := _listed(folder, queue.get(folder)))]
    return sorted(found, key=lambda job: (STATES.index(job.state), job.row, job.kind, job.seed))


def _listed(folder: Path, queued: Queued | None) -> Listed | None:
    try:
        job, held = Job.known(folder), holder(folder)
    except UserError:
        return None
    told = _launch(folder)
    launched = datetime.fromisoformat(told["launched"]) if told.get("launched") else None
    state = _state(folder, queued, held)
    return Listed(folder, job, state, launched, told.get("code"), queued, held)


def _launch(folder: Path) -> dict[str, Any]:
    try:
        return launch(folder)
    except UserError:  # damaged: neither age nor code are known
        return {}


def _state(folder: Path, queued: Queued | None, held: Holder | None) -> str:
    try:
        if is_finished(folder):
            return "finished"
    except UserError:
        return "damaged"
    if queued or held:
        return "pending" if queued and queued.state.startswith("PENDING") else "running"
    if (folder / "failed.json").exists():
        return "failed"
    return "lost" if (folder / "slurm.json").exists() else "unfinished"
