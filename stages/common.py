"""What stage scripts share: arguments, a user's mistake as one line, running jobs and taking what they leave."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.jobs.failure import one_sentence
from sgr.jobs.startup import spare_collections
from sgr.plan.names import check

if TYPE_CHECKING:
    from sgr.jobs.job import Job
    from sgr.plan.entry import Entry


def run(function: Callable[..., None], *names: str) -> None:
    """Call `function` with the command line's arguments, `names`; a user's mistake ends with status 2."""
    parser = argparse.ArgumentParser(description=function.__doc__)
    for name in names:
        parser.add_argument(name)
    arguments = vars(parser.parse_args())
    spare_collections()
    with one_sentence():
        check(**arguments)
        function(**arguments)


def finish(jobs: Iterable[Job]) -> None:
    """Run jobs to their end on this machine's executor."""
    from sgr.jobs.run.executors import run as run_jobs
    from sgr.machine import settings

    run_jobs(list(jobs), settings())


def take(
    jobs: Mapping[int, Job], into: Callable[[int], Path], names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Copy what each seed's job left, or of that `names`, to `into(seed)`; returns their provenance by seed."""
    from sgr.files import read_json
    from sgr.machine import settings

    store = settings().store
    provenance = {}
    for seed, job in jobs.items():
        store.take(job, job.kind.artefacts if names is None else names, into(seed))
        provenance[str(seed)] = read_json(store.folder(job) / "provenance.json")
    return provenance


def run_and_take(kind: str, profile: str, row: str) -> tuple[Entry[Any], dict[int, Job], Path]:
    """Run the jobs of a row's stage; what they leave goes to work/<profile>/<kind>/<row>/<seed>.

    Their provenance goes to results/provenance/<profile>/<row>.<kind>.json. Returns the plan entry, the jobs by seed,
    and the folder of the row.
    """
    from sgr.files import write_json
    from sgr.plan.jobs import of_entry, read_job

    entry = read_job(kind, profile, row)
    jobs = of_entry(kind, profile, entry, {})
    finish(jobs.values())
    folder = Path("work", profile, kind, row)
    provenance = take(jobs, lambda seed: folder / str(seed))
    write_json(Path("results", "provenance", profile, f"{row}.{kind}.json"), provenance)
    return entry, jobs, folder


def write_result(profile: str, entry: Entry[Any], folder: Path, artefact: str, suffix: str = "") -> None:
    """Write results/<profile>/<dataset>/<row><suffix>.json: an artefact of each seed beside what it is of."""
    from sgr.files import read_json, write_json

    seeds = {str(seed): read_json(folder / str(seed) / artefact) for seed in entry.seeds}
    about = {"row": entry.row, "dataset": entry.dataset, "backbone": entry.backbone}
    write_json(
        Path("results", profile, entry.results, f"{entry.row}{suffix}.json"), {**about, "seeds": seeds}
    )
