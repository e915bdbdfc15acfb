"""Submit every stale job of targets at once, or run them side by side here. `python -m sgr.cli.submit [TARGET…]`.

`dvc repro` then finds each job finished, running or queued, and takes or awaits it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sgr.cli.graph import Stage, stale
from sgr.errors import UserError
from stages import overhead, sweep, train, transfer
from stages.common import plan_entry, row_jobs, run, stored_models

if TYPE_CHECKING:
    from sgr.jobs.cluster import Cluster
    from sgr.jobs.store import Job

SCRIPTS = ("train", "evaluate", "semantics", "instance_semantics", "transfer", "detect", "sweep", "overhead")


def main(targets: Sequence[str], here: bool = False) -> None:
    """Submit every stale job of the targets (of all stages without one) to SLURM: training, and what waits for it.

    With --here they run on this machine instead, as many side by side as it has cores, or `max_jobs` of cluster.yaml;
    the executor must be inline or local.
    """
    from sgr.jobs.cluster import settings
    from sgr.jobs.locks import locked

    cluster = settings()
    with locked(cluster.jobs, "targets.lock"):
        jobs = jobs_of(stale(targets, SCRIPTS))
    if here:
        run_here(jobs, cluster)
    else:
        submit(jobs, cluster)


def jobs_of(stages: Sequence[Stage]) -> list[Job]:
    """The jobs of stages in DVC's order, all training first; a job after the one whose network it starts from."""
    found: list[Job] = []
    trained: dict[str, dict[int, Job]] = {}
    transferred: dict[str, dict[int, Job]] = {}
    for script, arguments in stages:
        match script:
            case "train":
                profile, row = arguments
                trained[row] = train.jobs_of(profile, row)
                found += trained[row].values()
            case "evaluate" | "semantics" | "instance_semantics":
                profile, row = arguments
                models = stored_models(trained[row]) if row in trained else None
                found += row_jobs(script, profile, row, models).values()
            case "transfer":
                profile, row = arguments
                plan = plan_entry(profile, "transfer", row)
                start = plan["start"].removeprefix("train/")
                models = stored_models(trained[start]) if start in trained else None
                transferred[row] = transfer.jobs_of(profile, plan, models)
                found += transferred[row].values()
            case "detect":
                profile, row = arguments
                models = stored_models(transferred[row]) if row in transferred else None
                found += row_jobs(script, profile, row, models, stage="transfer").values()
            case "sweep":
                for pair in sweep.jobs_of(*arguments).values():
                    found += [job for jobs in pair for job in jobs.values()]
            case "overhead":
                found += overhead.jobs_of(*arguments).values()
    unique = {job.key: job for job in found}
    return sorted(unique.values(), key=lambda job: bool(job.after))


def submit(jobs: Sequence[Job], cluster: Cluster) -> None:
    """Submit the jobs and print what became of them, a line a kind."""
    from sgr.jobs.slurm.submit import submit

    if cluster.executor != "slurm":
        raise UserError(
            f"the executor is {cluster.executor}: set `executor: slurm` in cluster.yaml, or run the jobs --here"
        )
    submissions = submit(jobs, cluster)
    for kind in dict.fromkeys(job.kind for job in jobs):
        found = [made for job, made in zip(jobs, submissions, strict=True) if job.kind == kind]
        counts = Counter(state for state, _ in found)
        said = [f"{counts['finished']} finished"] if counts["finished"] else []
        for state in ("attached", "submitted"):
            ids = [identity or "outside SLURM" for said_state, identity in found if said_state == state]
            said += [f"{len(ids)} {state} ({', '.join(shortened(ids))})"] if ids else []
        print(f"{kind}: {', '.join(said)}")
    print("dvc repro now waits for them and takes their results" if jobs else "every stage is up to date")


def shortened(ids: Sequence[str]) -> list[str]:
    """SLURM ids with the elements of an array as one: `12_0, 12_1, 12_2, 15` is `12_[0-2], 15`."""
    arrays: dict[str, list[int]] = {}
    for identity in ids:
        array, _, element = identity.partition("_")
        arrays.setdefault(array, []).extend([int(element)] if element else [])
    shown = []
    for array, indices in arrays.items():
        runs: list[list[int]] = []
        for index in sorted(indices):
            if runs and index == runs[-1][-1] + 1:
                runs[-1].append(index)
            else:
                runs.append([index])
        listed = ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
        shown.append(f"{array}_[{listed}]" if runs else array)
    return shown


def run_here(jobs: Sequence[Job], cluster: Cluster) -> None:
    """Run the jobs on this machine, but for what measures time; exit with status 1 if any failed."""
    from sgr.jobs.run.executors import here

    if cluster.executor == "slurm":
        print("the executor is slurm, so nothing runs here: `make cluster` submits every stale job at once")
        return
    failed = here([job for job in jobs if job.kind != "overhead"], cluster)
    if failed:
        print(f"{len(failed)} jobs failed: dvc repro runs them again")
        raise SystemExit(1)


if __name__ == "__main__":
    run(main, "targets...", "--here")
