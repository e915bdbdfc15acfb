"""What stage scripts share: arguments, a user's mistake as one line, running jobs and taking what they leave."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.cli.dvc_lock import keep
from sgr.jobs.failure import one_sentence
from sgr.jobs.startup import spare_collections
from sgr.plan.names import check

if TYPE_CHECKING:
    from sgr.jobs.job import Job
    from sgr.plan.entry import Entry

# What the training of a row is, in its folder of work/<profile>/train or transfer.
ABOUT = "about.json"


def run(function: Callable[..., None], *names: str) -> None:
    """Call `function` with the command line's arguments, `names`; a user's mistake ends with status 2."""
    parser = argparse.ArgumentParser(description=function.__doc__)
    for name in names:
        parser.add_argument(name)
    arguments = vars(parser.parse_args())
    spare_collections()
    with one_sentence():
        keep(Path())
        check(**arguments)
        function(**arguments)


def finish(jobs: Iterable[Job]) -> None:
    """Run jobs to their end on this machine's executor."""
    from sgr.jobs.run.executors import run as run_jobs
    from sgr.machine import settings
    from sgr.watch.beside import watched

    machine, jobs = settings(), list(jobs)
    with watched(jobs, machine):
        run_jobs(jobs, machine)


def take(
    jobs: Mapping[int, Job], into: Callable[[int], Path], names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Copy what each seed's job left, or of that `names`, to `into(seed)`; returns their provenance by seed."""
    from sgr.machine import settings

    store = settings().store
    provenance = {}
    for seed, job in jobs.items():
        store.take(job, job.kind.artefacts if names is None else names, into(seed))
        provenance[str(seed)] = store.provenance(job)
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


def write_result(kind: str, profile: str, entry: Entry[Any], artefact: str, suffix: str = "") -> None:
    """Write results/<profile>/<dataset>/<row><suffix>.json: an artefact of each seed beside what it is of."""
    from sgr.files import read_json, write_json
    from sgr.kinds import TRAINED_BY

    folder = Path("work", profile, kind, entry.row)
    seeds = {str(seed): read_json(folder / str(seed) / artefact) for seed in entry.seeds}
    measured = next(iter(seeds.values()))
    training = read_json(Path("work", profile, TRAINED_BY[kind].name, entry.row, ABOUT))
    result = {
        "row": entry.row,
        "dataset": entry.dataset,
        "backbone": entry.backbone,
        "about": about(profile, entry, [split for split in entry.official if split in measured], training),
        "seeds": seeds,
    }
    write_json(Path("results", profile, entry.results, f"{entry.row}{suffix}.json"), result)


def about(profile: str, entry: Entry[Any], splits: Iterable[str], training: Any) -> dict[str, Any]:
    """What a result on these splits is of, as `sgr.report.about.About` has it."""
    counted = count(profile, entry)
    source = "generated" if entry.generated else "folder"
    return {"source": source, "splits": {split: counted[split] for split in splits}, "training": training}


def about_training(profile: str, entry: Entry[Any]) -> dict[str, Any]:
    """What a training is, as `sgr.report.about.Training` has it."""
    from sgr.files import read_json

    images = count(profile, entry)[entry.training["split"]]
    start = read_json(Path("work", profile, "train", entry.start, ABOUT)) if entry.start else None
    return {**entry.training, "images": images, "start": start}


def count(profile: str, entry: Entry[Any]) -> dict[str, dict[str, int]]:
    """How many images of each split the manifest of the stage's dataset has, and how many there are officially."""
    from sgr.files import read_json
    from sgr.plan import inputs

    splits = read_json(inputs.manifest(profile, entry.dataset))["splits"]
    return {
        split: {"images": len(splits[split]), "official": official}
        for split, official in entry.official.items()
    }
