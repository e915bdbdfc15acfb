"""Submit jobs to SLURM through submitit."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sgr.errors import UserError
from sgr.files import write_json
from sgr.launch.cluster import Cluster, main_root
from sgr.launch.locks import is_running, locked
from sgr.launch.provenance import launched, now
from sgr.launch.ranks import run, tell_from_submitit
from sgr.launch.snapshot import environment, snapshot
from sgr.launch.squeue import active, complaint, job_name
from sgr.launch.store import Job, JobStore, is_finished

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

# A resumed job goes on from its checkpoint, so reaching the time limit is no failure.
MAX_TIMEOUTS = 100


class Submission(NamedTuple):
    """What `submit` found or did: `finished`, `attached` (it was queued or running) or `submitted`.

    id: the SLURM job; None if it has finished or runs outside SLURM.
    """

    state: str
    id: str | None


class Work:
    """The callable that submitit pickles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self) -> None:
        """Run the job. Its loader workers must leave SLURM's warning signal to this process."""
        os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN))
        tell_from_submitit()
        run(self.folder)

    def checkpoint(self) -> DelayedSubmission:
        """What to run after a preemption or time limit: the same, it resumes by itself."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(self)


def submit(job: Job, cluster: Cluster, after: Sequence[Job] = ()) -> Submission:
    """Submit a job unless it has finished, is queued or runs; it starts once those of `after` finished.

    Raises UserError without sbatch, if it refuses, or if a job of `after` is neither finished nor queued.
    """
    store = JobStore(cluster.jobs)
    folder = store.folder(job)
    if shutil.which("sbatch") is None:
        raise UserError(
            "the executor is slurm, but there is no sbatch on PATH: set `executor` in cluster.yaml"
        )
    with locked(folder, "submit.lock"):
        if is_finished(folder):
            return Submission("finished", None)
        if found := active([folder]).get(folder):
            return Submission("attached", found.id)
        if is_running(folder):
            return Submission("attached", None)
        dependency = _dependency(store, after)
        code = snapshot(store.root)
        store.prepare(job, launched("slurm", code))
        identity = _sbatch(folder, job, cluster, code, dependency)
        write_json(folder / "slurm.json", {"id": identity, "submitted": now()})
    return Submission("submitted", identity)


def _dependency(store: JobStore, after: Sequence[Job]) -> str | None:
    unfinished = [store.folder(job) for job in after if not store.finished(job)]
    queued = active(unfinished)
    for folder in unfinished:
        if folder not in queued and not is_finished(folder):
            raise UserError(
                f"job {folder.name} must finish first, and it is neither finished nor queued: submit it first"
            )
    return ":".join(["afterok", *(found.id for found in queued.values())]) if queued else None


def _sbatch(folder: Path, job: Job, cluster: Cluster, code: Path, dependency: str | None) -> str:
    import submitit

    asked = cluster.slurm
    exports = environment(code, job.threads)
    parameters: dict[str, Any] = {
        "job_name": job_name(folder),
        "comment": job.kind,
        "partition": asked.partition,
        "account": asked.account,
        "qos": asked.qos,
        "constraint": asked.constraint,
        "time": asked.time_minutes,
        "mem": f"{asked.memory_gb}GB",
        "cpus_per_task": asked.cpus,
        "gpus_per_node": asked.gpus or None,
        "ntasks_per_node": 1,
        "stderr_to_stdout": True,
        "dependency": dependency,
        "setup": [*asked.setup, *(f"export {name}={shlex.quote(value)}" for name, value in exports.items())],
        # kill-on-invalid-dep: a job whose training failed would else wait in the queue for ever.
        "additional_parameters": {"chdir": str(main_root()), "requeue": True, "kill-on-invalid-dep": "yes"},
    }
    try:
        executor = submitit.SlurmExecutor(folder / "submitit", max_num_timeout=MAX_TIMEOUTS)
        executor.update_parameters(**{name: value for name, value in parameters.items() if value is not None})
        return str(executor.submit(Work(folder)).job_id)
    except (
        submitit.core.utils.FailedJobError,
        submitit.core.utils.FailedSubmissionError,
        RuntimeError,
    ) as error:
        raise UserError(f"SLURM refused job {folder.name} ({job.kind}): {complaint(str(error))}") from None
