"""`python -m sgr dry-run`: what would be submitted, and what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sgr.cli.console import table
from sgr.cli.graph import Stage, needed
from sgr.cost import detection, segmentation
from sgr.cost.segmentation import TFLOPS, Cost, ImagesOf
from sgr.datasets import Split, describe
from sgr.errors import UserError
from sgr.jobs.inspect.listing import jobs as listed
from sgr.jobs.job import Job
from sgr.jobs.readable import duration, size
from sgr.jobs.run.progress import progress
from sgr.kinds import KINDS, TRAINED_BY
from sgr.machine import Machine, settings
from sgr.plan.entries import entries
from sgr.plan.entry import Entry
from sgr.plan.jobs import of_entry, pairs
from sgr.plan.params import Params, load

Row = dict[str, Entry[Any]]


def main(targets: Sequence[str], profile: str | None = None, tflops: float | None = None) -> None:
    """Print the jobs of every row that the targets need and how they stand, its GPU-hours and its disk; submit nothing.

    Needs params.yaml and the files of DVC alone: neither data nor weights nor a finished stage.

    Args:
        targets: see `sgr.cli.graph`.
        profile: another than that of params.yaml.
        tflops: what one GPU sustains in training, 10¹² FLOP/s.
    """
    params, rate = load_profile(profile), TFLOPS if tflops is None else tflops
    if not rate > 0:
        raise UserError(f"--tflops {rate:g}: a number above 0, what one GPU sustains in 10¹² FLOP/s")
    machine, images = settings(), images_of(params)
    rows = wanted_rows(entries(params, Path.cwd()), needed(targets))
    known = {job.folder.name: job.state for job in listed(machine.store)}

    made: dict[tuple[str, str], dict[int, Job]] = {}
    states: dict[str, dict[str, Counter[str]]] = {}
    costs: dict[str, Cost] = {}
    with progress() as show:
        for number, (name, parts) in enumerate(rows.items(), 1):
            show(f"[{number}/{len(rows)}] {name}: counting FLOPs")
            counted: dict[str, Counter[str]] = {}
            cost = Cost()
            for part in parts:
                # each pair of the sweep is of the same row, and no other starts from it
                own = made if len(parts) == 1 else {}
                for kind, found in row_states(params.profile, part, own, known).items():
                    counted[kind] = counted.get(kind, Counter()) + found
                cost += estimate(part, images, rate)
            states[name], costs[name] = counted, cost
    print(resources(params, machine))
    print_table(states, costs)
    sentences = [*segmentation.assumptions(images, rate), *detection.assumptions()]
    print("Assumptions:", *(f"- {sentence}" for sentence in sentences), sep="\n")


def load_profile(profile: str | None) -> Params:
    """params.yaml, with another profile if one is named."""
    params = load(Path("params.yaml"))
    if profile is None:
        return params
    if profile not in params.profiles:
        raise UserError(f"--profile {profile}: the profiles are {', '.join(params.profiles)}")
    return params.model_copy(update={"profile": profile})


def images_of(params: Params) -> ImagesOf:
    """What is evaluated, by dataset and split: as generated, or what is asked for of what its owners publish."""
    generated, detection = params.chosen.generated, params.detection
    evaluated = {name: (*about.evaluate, about.semantics) for name, about in params.datasets.items()}
    evaluated[detection.dataset] = (detection.evaluate,)
    if params.chosen.data == "folder" or generated is None:
        found = {name: {of: describe(name).splits[of] for of in splits} for name, splits in evaluated.items()}
        for name, most in params.chosen.subset.items():
            found[name] = {of: Split(min(most, images), size) for of, (images, size) in found[name].items()}
        return found
    test = dict.fromkeys(evaluated, generated.images.test)
    test[detection.dataset] = (generated.detection or generated.images).test
    return {
        name: {of: Split(test[name], generated.size) for of in splits} for name, splits in evaluated.items()
    }


def wanted_rows(found: Mapping[str, Entry[Any]], stages: Iterable[Stage]) -> dict[str, list[Row]]:
    """By name the parts of every row with one of these stages; the sweep's parts are its pairs, any other has one.

    What measures time is left out. Raises UserError for a stage that is not of params.yaml.
    """
    rows: dict[str, list[Row]] = {}
    for kind, _, key in stages:
        if kind in KINDS and KINDS[kind].measures_time:
            continue
        if (entry := found.get(f"{kind}/{key}")) is None:
            raise UserError(
                f"the parameters have no {kind}@{key}, which DVC knows: run `python -m sgr pipeline`"
            )
        if kind == "sweep":
            parts: list[Row] = [
                {"train": train, "evaluate": evaluate} for train, evaluate in pairs(entry).values()
            ]
            rows[f"sweep ({len(parts)} pairs)"] = parts
        else:
            rows.setdefault(key, [{}])[0][kind] = entry
    order = [name.partition("/")[2] for name in found]
    return dict(sorted(rows.items(), key=lambda row: order.index(row[0]) if row[0] in order else len(order)))


def row_states(
    profile: str, row: Row, made: dict[tuple[str, str], dict[int, Job]], known: Mapping[str, str]
) -> dict[str, Counter[str]]:
    """How many jobs of each kind stand how: as the store says (`known`, by key), or to be submitted.

    `made` holds the trainings of the rows before, and takes those of this one.
    """
    states = {}
    for kind, entry in row.items():
        first = TRAINED_BY.get(kind)
        states[kind] = Counter({"to submit": len(entry.seeds)})
        if first and first.name in row and (first.name, entry.row) not in made:
            continue
        try:
            made[kind, entry.row] = of_entry(kind, profile, entry, made)
        except UserError:
            # without its inputs a job has no key yet, so it cannot have run
            continue
        states[kind] = Counter(known.get(job.key, "to submit") for job in made[kind, entry.row].values())
    return states


def estimate(row: Row, images: ImagesOf, tflops: float) -> Cost:
    """The cost of all seeds of a row."""
    first, of = ("transfer", detection) if "transfer" in row else ("train", segmentation)
    return len(row[first].seeds) * of.estimate(row, images, tflops)


def print_table(states: Mapping[str, Mapping[str, Counter[str]]], costs: Mapping[str, Cost]) -> None:
    """A line a row with its jobs, hours and disk, the sums below, and what is still to run.

    Args:
        states: how many jobs stand how, by row and kind.
        costs: by row.
    """
    kinds = [kind for kind in KINDS if any(kind in counted for counted in states.values())]
    shown, left, total = [], 0.0, Cost()
    sums: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    for name, cost in costs.items():
        told = []
        for kind in kinds:
            counted, spent = states[name].get(kind, Counter[str]()), cost.hours.get(kind, 0.0)
            jobs = ", ".join(f"{count} {state}" for state, count in counted.items())
            told.append(f"{jobs}: {hours(spent)} h" if counted else "")
            sums[kind] += counted
            left += spent * (1 - counted["finished"] / max(1, counted.total()))
        shown.append((name, *told, size(cost.kept), size(cost.checkpoint)))
        total += cost
    spent_on = [f"{hours(total.hours.get(kind, 0.0))} h" for kind in kinds]
    shown.append(("total", *spent_on, size(total.kept), size(total.checkpoint)))
    columns = (*(kind.replace("_", " ") for kind in kinds), "disk", "checkpoint")
    table(("row", *columns), shown, right=columns)
    for kind, counted in sums.items():
        print(f"{kind}: {', '.join(f'{count} {state}' for state, count in sorted(counted.items()))}")
    print(
        f"{hours(total.total)} GPU-hours, of which {hours(left)} are still to run; "
        f"{size(total.kept)} of disk, and at most {size(total.checkpoint)} more while all train at once"
    )


def resources(params: Params, machine: Machine) -> str:
    """What each job asks for."""
    if machine.executor != "slurm":
        return f"profile {params.profile}, executor {machine.executor}: the jobs run on this machine"
    wanted = machine.slurm
    gpus = min(1, wanted.gpus_per_job)
    return (
        f"profile {params.profile}, executor slurm: a training job asks for {wanted.gpus_per_job} GPUs, "
        f"{wanted.nodes} nodes and {wanted.processes} processes, each other job for {gpus} GPU, one node and one "
        f"process; {wanted.cpus} cores a process, {wanted.memory_gb} GB a node, {duration(60 * wanted.time)} a run"
    )


def hours(value: float) -> str:
    """Hours to a tenth, and small ones to two digits."""
    return f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"
