"""Hand an array of jobs to SLURM through submitit."""

from __future__ import annotations

import os
import shlex
import signal
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.errors import UserError
from sgr.files import write_json
from sgr.jobs.cluster import Cluster, main_root
from sgr.jobs.provenance import now
from sgr.jobs.ranks import run, tell_from_submitit
from sgr.jobs.slurm.arrays import Array
from sgr.jobs.slurm.squeue import complaint, submission_folder
from sgr.jobs.snapshot import environment
from sgr.jobs.store import JobStore

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

# A resumed job goes on from its checkpoint, so reaching the time limit is no failure.
MAX_TIMEOUTS = 100
# The other tasks of a job end with the first that fails, also where they wait for it inside NCCL.
SRUN = ["--kill-on-bad-exit=1"]


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


def sbatch(store: JobStore, array: Array, cluster: Cluster, code: Path) -> dict[str, str]:
    """Submit the array and return the SLURM id of each job, by key.

    First slurm.json of each job says what is about to be submitted: a SLURM name that no other submission has, and the
    job's index. So a job is found in the queue also if this process dies before it learns the id. Raises UserError if
    SLURM refuses.
    """
    import submitit
    from submitit.core.utils import DelayedSubmission

    name = f"{cluster.project.package.stem}-{uuid.uuid4().hex[:16]}"
    here = submission_folder(store.root, name)
    here.mkdir(parents=True)
    work = [Work(store.folder(job)) for job in array.jobs]
    records: list[dict[str, Any]] = []
    for index, one in enumerate(work):
        element = index if len(work) > 1 else None
        records.append({"key": one.folder.name, "submission": name, "index": element, "submitted": now()})
        delayed = DelayedSubmission(one)
        delayed.set_timeout(cluster.slurm.time, MAX_TIMEOUTS)
        delayed.dump(here / f"{index}.pkl")
        write_json(one.folder / "slurm.json", {**records[-1], "id": None})
    try:
        executor = submitit.SlurmExecutor(here, max_num_timeout=MAX_TIMEOUTS)
        executor.update_parameters(**_parameters(name, array, cluster, code, here))
        with executor.batch():
            submitted = [executor.submit(one) for one in work]
        ids = [str(job.job_id) for job in submitted]
    except (
        submitit.core.utils.FailedJobError,
        submitit.core.utils.FailedSubmissionError,
        RuntimeError,
    ) as error:
        for one in work:
            (one.folder / "slurm.json").unlink()
        first = array.jobs[0]
        which = f"job {first.key}" if len(work) == 1 else f"{len(work)} jobs, of which {first.key} is one"
        raise UserError(f"SLURM refused {which} ({first.kind.name}): {complaint(str(error))}") from None
    for one, record, identity in zip(work, records, ids, strict=True):
        write_json(one.folder / "slurm.json", {**record, "id": identity})
    return {one.folder.name: identity for one, identity in zip(work, ids, strict=True)}


def _parameters(name: str, array: Array, cluster: Cluster, code: Path, here: Path) -> dict[str, Any]:
    asked, first = cluster.slurm, array.jobs[0]
    nodes, processes = (asked.nodes, asked.processes) if first.kind.ranks else (1, 1)
    gpus = asked.gpus_per_job if first.kind.ranks else min(1, asked.gpus_per_job)
    exports = environment(code, first.threads)
    parameters: dict[str, Any] = {
        "job_name": name,
        "comment": first.kind.name,
        "partition": asked.partition,
        "account": asked.account,
        "qos": asked.qos,
        "constraint": asked.constraint,
        "time": asked.time,
        "mem": f"{asked.memory_gb}GB",
        "cpus_per_task": asked.cpus,
        "nodes": nodes,
        "ntasks_per_node": processes // nodes,
        "gpus_per_node": gpus // nodes or None,
        "array_parallelism": cluster.max_jobs or len(array.jobs),
        "stderr_to_stdout": True,
        "srun_args": SRUN,
        "dependency": array.dependency,
        "setup": [
            *asked.setup_lines,
            *(f"export {name}={shlex.quote(value)}" for name, value in exports.items()),
            *_own_pickle(here),
        ],
        # kill-on-invalid-dep: a job whose training failed would else wait in the queue for ever.
        "additional_parameters": {"chdir": str(main_root()), "requeue": True, "kill-on-invalid-dep": "yes"},
    }
    return {key: value for key, value in parameters.items() if value is not None}


def _own_pickle(here: Path) -> list[str]:
    """Shell lines with which a job finds its work also if the submitter died before submitit named it after the job."""
    from submitit.core.utils import JobPaths

    job = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
    pickle = JobPaths(here, job).submitted_pickle.name
    return [
        f"here={shlex.quote(str(here))}",
        f'test -e "$here/{pickle}" || cp "$here/${{SLURM_ARRAY_TASK_ID:-0}}.pkl" "$here/{pickle}"',
    ]
