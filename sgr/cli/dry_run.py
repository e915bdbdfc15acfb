"""What would be submitted, and what it costs. `python -m sgr.cli.dry_run [--profile NAME] [--tflops N] [TARGET…]`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.cli.graph import names
from sgr.errors import UserError
from stages import transfer
from stages.common import row_inputs, run, stored_models, trained_jobs, training_inputs, training_jobs

if TYPE_CHECKING:
    from sgr.cost.segmentation import ImagesOf
    from sgr.jobs.cluster import Cluster
    from sgr.jobs.store import Job
    from sgr.plan.params import Params

Row = dict[str, dict[str, Any]]
KINDS = ("train", "evaluate", "semantics", "instance_semantics", "transfer", "detect")


def main(profile: str | None, tflops: str | None, targets: list[str]) -> None:
    """Print the jobs of every row that the targets need and how they stand, its GPU-hours and its disk; submit nothing.

    Needs params.yaml and dvc.yaml alone: neither data nor weights nor a finished stage.
    """
    from sgr.cli.console import table
    from sgr.cost import detection as estimate_detection
    from sgr.cost import segmentation as estimate
    from sgr.cost.segmentation import TFLOPS, Cost
    from sgr.jobs.cluster import settings
    from sgr.jobs.inspect.listing import jobs as listed
    from sgr.jobs.run.durations import size
    from sgr.jobs.run.progress import progress
    from sgr.jobs.store import JobStore

    params = load_profile(profile)
    rate = rate_of(tflops) if tflops else TFLOPS
    cluster = settings()
    rows, images = list(wanted_rows(params, names(targets))), images_of(params)
    known = {job.folder.name: job.state for job in listed(JobStore(cluster.jobs))}

    shown, states, total, left = [], {kind: Counter[str]() for kind in KINDS}, Cost(), Cost()
    with progress() as show:
        for number, (name, parts) in enumerate(rows, 1):
            show(f"[{number}/{len(rows)}] {name}: counting FLOPs")
            counts = {kind: Counter[str]() for kind in KINDS}
            cost = Cost()
            for part in parts:
                for kind, found in row_states(params.profile, part, known).items():
                    counts[kind] += found
                first, of = ("transfer", estimate_detection) if "transfer" in part else ("train", estimate)
                seeds = len(part[first]["seeds"])
                cost += Cost(*(seeds * value for value in of.estimate(part, images, rate)))
            for kind in KINDS:
                states[kind] += counts[kind]
            total += cost
            share = {kind: 1 - counts[kind]["finished"] / max(1, counts[kind].total()) for kind in KINDS}
            left += Cost(**{kind: getattr(cost, kind) * share[kind] for kind in KINDS})
            told = [
                ", ".join(f"{count} {state}" for state, count in counts[kind].items())
                + (f": {hours(getattr(cost, kind))} h" if counts[kind] else "")
                for kind in KINDS
            ]
            shown.append((name, *told, size(cost.kept), size(cost.checkpoint)))

    print(resources(params, cluster))
    sums = {kind: f"{hours(getattr(total, kind))} h" for kind in KINDS}
    shown.append(("total", *sums.values(), size(total.kept), size(total.checkpoint)))
    columns = (*(kind.replace("_", " ") for kind in KINDS), "disk", "checkpoint")
    table(("row", *columns), shown, right=columns)
    for kind in KINDS:
        print(f"{kind}: {', '.join(f'{n} {state}' for state, n in sorted(states[kind].items())) or 'none'}")
    print(
        f"{hours(total.hours)} GPU-hours, of which {hours(left.hours)} are still to run; "
        f"{size(total.kept)} of disk, and at most {size(total.checkpoint)} more while all train at once"
    )
    sentences = [*estimate.assumptions(rate), *estimate_detection.assumptions()]
    print("Assumptions:", *(f"- {sentence}" for sentence in sentences), sep="\n")


def load_profile(profile: str | None) -> Params:
    """params.yaml, with another profile if one is named."""
    from sgr.plan.params import load

    params = load(Path("params.yaml"))
    if profile is None:
        return params
    if profile not in params.profiles:
        raise UserError(f"--profile {profile}: the profiles are {', '.join(params.profiles)}")
    return params.model_copy(update={"profile": profile})


def rate_of(tflops: str) -> float:
    """The number behind --tflops."""
    try:
        rate = float(tflops)
    except ValueError:
        rate = 0.0
    if not rate > 0:
        raise UserError(f"--tflops {tflops}: a number above 0, what one GPU sustains in 10¹² FLOP/s")
    return rate


def wanted_rows(params: Params, stages: set[str]) -> Iterator[tuple[str, list[Row]]]:
    """(name, its parts) of every row that has a stage among those named, and of the sweep, whose parts are its pairs.

    A row of Table 3 has a further entry `start`, the training that it starts from, if it starts from one.
    """
    from sgr.plan.entries import entries

    found = entries(params, Path.cwd())
    for name in (*params.rows, *params.transfer):
        row = {kind: found[f"{kind}/{name}"] for kind in KINDS if f"{kind}@{name}" in stages}
        if "transfer" in row and row["transfer"]["start_seed"] is not None:
            row["start"] = found[row["transfer"]["start"]]
        if row:
            yield name, [row]
    if "sweep" in stages:
        pairs = found[f"sweep/{params.sweep.dataset}"]["pairs"]
        yield f"sweep ({len(pairs)} pairs)", [{kind: pair[kind] for kind in KINDS[:2]} for pair in pairs]


def row_states(profile: str, row: Row, known: dict[str, str]) -> dict[str, Counter[str]]:
    """How many jobs of each kind stand how: as the store says (`known`, by key), or to be submitted."""
    try:
        jobs = row_jobs(profile, row)
    except UserError:
        # without its inputs a job has no key yet, so it cannot have run
        jobs = {}
    return {
        kind: Counter(known.get(job.key, "to submit") for job in jobs[kind].values())
        if kind in jobs
        else Counter({"to submit": len(plan["seeds"])})
        for kind, plan in row.items()
        if kind in KINDS
    }


def row_jobs(profile: str, row: Row) -> dict[str, dict[int, Job]]:
    """The jobs of a row by kind and seed, `train` those of its start. Raises UserError where an input is missing."""
    jobs: dict[str, dict[int, Job]] = {}
    models = None
    if trained := row.get("train") or row.get("start"):
        jobs["train"] = training_jobs(trained, *training_inputs(profile, trained))
        models = stored_models(jobs["train"])
    if "transfer" in row:
        jobs["transfer"] = transfer.jobs_of(profile, row["transfer"], models)
        models = stored_models(jobs["transfer"])
    for kind in row.keys() - {"train", "start", "transfer"}:
        jobs[kind] = trained_jobs(kind, row[kind], models or {}, *row_inputs(profile, row[kind]))
    return jobs


def images_of(params: Params) -> ImagesOf:
    """What is evaluated, by dataset and split."""
    from sgr.cost.segmentation import PUBLISHED, Split

    generated = params.chosen.generated
    if params.chosen.data == "folder" or generated is None:
        return PUBLISHED
    found = {
        name: {
            split: Split(generated.images.test, generated.size)
            for split in (*about.evaluate, about.semantics)
        }
        for name, about in params.datasets.items()
    }
    detection = params.detection
    test = (generated.detection or generated.images).test
    return found | {detection.dataset: {detection.evaluate: Split(test, generated.size)}}


def resources(params: Params, cluster: Cluster) -> str:
    """What each job asks for."""
    from sgr.jobs.run.durations import duration

    if cluster.executor != "slurm":
        return f"profile {params.profile}, executor {cluster.executor}: the jobs run on this machine"
    asked = cluster.slurm
    gpus = min(1, asked.gpus_per_job)
    return (
        f"profile {params.profile}, executor slurm: a training job asks for {asked.gpus_per_job} GPUs, {asked.nodes} "
        f"nodes and {asked.processes} processes, each other job for {gpus} GPU, one node and one process; "
        f"{asked.cpus} cores a process, {asked.memory_gb} GB a node, {duration(60 * asked.time)} a run"
    )


def hours(value: float) -> str:
    """Hours to a tenth, and small ones to two digits."""
    return f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"


if __name__ == "__main__":
    run(main, "--profile=", "--tflops=", "targets...")
