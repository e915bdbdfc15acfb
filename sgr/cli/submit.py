"""`python -m sgr submit`: submit every stale job of targets at once, or run them side by side here.

`dvc repro` then finds each job finished, running or queued, and takes or awaits it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sgr.cli.graph import Stage, stale
from sgr.errors import UserError
from sgr.jobs.job import Job
from sgr.jobs.locks import locked
from sgr.machine import Machine, settings
from sgr.plan.jobs import all_of, jobs_of, sweep


def main(targets: Sequence[str], here: bool = False) -> None:
    """Submit every stale job of the targets to SLURM: training, and what waits for it.

    `here` runs them on this machine instead, as many side by side as it has cores, or `max_jobs` of cluster.yaml;
    the executor must be inline or local.
    """
    machine = settings()
    machine.store.make()
    with locked(machine.jobs, "targets.lock"):
        jobs = jobs_behind(stale(targets))
    (run_here if here else submit)(jobs, machine)


def jobs_behind(stages: Sequence[Stage]) -> list[Job]:
    """The jobs of stages in DVC's order, each once, those that wait for another behind the others."""
    made: dict[tuple[str, str], dict[int, Job]] = {}
    of_sweeps: list[Job] = []
    for kind, profile, key in stages:
        if kind == "sweep":
            of_sweeps += all_of(sweep(profile, key))
        else:
            made[kind, key] = jobs_of(kind, profile, key or "all", made)
    found = [job for jobs in made.values() for job in jobs.values()]
    unique = {job.key: job for job in (*found, *of_sweeps)}
    return sorted(unique.values(), key=lambda job: bool(job.after))


def submit(jobs: Sequence[Job], machine: Machine) -> None:
    """Submit the jobs and print what became of them, a line a kind."""
    from sgr.jobs.slurm.submit import submit

    if machine.executor != "slurm":
        raise UserError(
            f"the executor is {machine.executor}: set `executor: slurm` in cluster.yaml, or run the jobs --here"
        )
    submissions = submit(jobs, machine)
    for kind in dict.fromkeys(job.kind.name for job in jobs):
        found = [made for job, made in zip(jobs, submissions, strict=True) if job.kind.name == kind]
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


def run_here(jobs: Sequence[Job], machine: Machine) -> None:
    """Run the jobs on this machine, but for what measures time; exit with status 1 if any failed."""
    from sgr.jobs.run.executors import here
    from sgr.watch.beside import watched

    if machine.executor == "slurm":
        print("the executor is slurm, so nothing runs here: `make cluster` submits every stale job at once")
        return
    with watched(jobs, machine):
        failed = here([job for job in jobs if not job.kind.measures_time], machine)
    if failed:
        print(f"{len(failed)} jobs failed: dvc repro runs them again")
        raise SystemExit(1)
