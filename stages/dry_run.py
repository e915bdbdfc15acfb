"""What would be submitted, and what it costs. `python -m stages.dry_run [--profile NAME] [--tflops N] [TARGET…]`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.errors import UserError
from stages.common import row_inputs, run, stored_models, trained_jobs, training_inputs, training_jobs

if TYPE_CHECKING:
    from sgr.config import Params
    from sgr.launch.cluster import Cluster
    from sgr.launch.estimate import Split
    from sgr.launch.store import Job

Row = dict[str, dict[str, Any]]
KINDS = ("train", "evaluate", "semantics")


def main(profile: str | None, tflops: str | None, targets: list[str]) -> None:
    """Print the jobs of every row that the targets need and how they stand, its GPU-hours and its disk; submit nothing.

    Needs params.yaml alone: neither data nor weights nor a finished stage.
    """
    from sgr.launch.cluster import settings
    from sgr.launch.estimate import TFLOPS, Cost, assumptions, estimate
    from sgr.launch.listing import jobs as listed
    from sgr.launch.progress import progress
    from sgr.launch.store import JobStore
    from sgr.launch.units import size
    from stages.console import table

    params = load_profile(profile)
    rate = rate_of(tflops) if tflops else TFLOPS
    cluster = settings()
    rows = list(wanted_rows(params, stages_behind(targets) if targets else None))
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
                seeds = len(part["train"]["seeds"])
                one = estimate(part, splits(params, part["train"]["dataset"]), rate)
                cost += Cost(*(seeds * value for value in one))
            for kind in KINDS:
                states[kind] += counts[kind]
            total += cost
            share = {kind: 1 - counts[kind]["finished"] / max(1, counts[kind].total()) for kind in KINDS}
            left += Cost(**{kind: getattr(cost, kind) * share[kind] for kind in KINDS})
            told = [", ".join(f"{count} {state}" for state, count in counts[kind].items()) for kind in KINDS]
            shown.append((name, *told, *map(hours, cost[:3]), size(cost.kept), size(cost.checkpoint)))

    print(resources(params, cluster))
    columns = ("train h", "evaluate h", "semantics h", "disk", "checkpoint")
    shown.append(("total", "", "", "", *map(hours, total[:3]), size(total.kept), size(total.checkpoint)))
    table(("row", *KINDS, *columns), shown, right=columns)
    for kind in KINDS:
        print(f"{kind}: {', '.join(f'{n} {state}' for state, n in sorted(states[kind].items())) or 'none'}")
    print(
        f"{hours(total.hours)} GPU-hours ({hours(total.train)} training, {hours(total.evaluate)} multi-scale "
        f"evaluation, {hours(total.semantics)} semantics), of which {hours(left.hours)} are still to run; "
        f"{size(total.kept)} of disk, and at most {size(total.checkpoint)} more while all train at once"
    )
    print("Assumptions:", *(f"- {sentence}" for sentence in assumptions(rate)), sep="\n")


def load_profile(profile: str | None) -> Params:
    """params.yaml, with another profile if one is named."""
    from sgr.config import load

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


def stages_behind(targets: Sequence[str]) -> set[str]:
    """The names of the stages that DVC's targets need, themselves among them."""
    import networkx as nx
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            graph = repo.index.graph
            found = {stage for target in targets for stage in repo.stage.collect(target)}
            behind = found | {other for stage in found for other in nx.descendants(graph, stage)}
            return {str(stage.addressing) for stage in behind}
    except DvcException as error:
        raise UserError(" ".join(str(error).split())) from None


def wanted_rows(params: Params, stages: set[str] | None) -> Iterator[tuple[str, list[Row]]]:
    """(name, its parts) of every row, and of the sweep, whose parts are its pairs; of all, or of DVC's stages."""
    from sgr.plan import entries

    found = entries(params, Path.cwd())
    for name in params.rows:
        row = {
            kind: found[f"{kind}/{name}"]
            for kind in KINDS
            if f"{kind}/{name}" in found and (stages is None or f"{kind}@{name}" in stages)
        }
        if row:
            yield name, [row]
    if stages is None or "sweep" in stages:
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
    }


def row_jobs(profile: str, row: Row) -> dict[str, dict[int, Job]]:
    """The jobs of a row by kind and seed. Raises UserError where what they read is not there."""
    jobs = {"train": training_jobs(row["train"], *training_inputs(profile, row["train"]))}
    models = stored_models(jobs["train"])
    for kind in row.keys() - {"train"}:
        jobs[kind] = trained_jobs(kind, row[kind], models, *row_inputs(profile, row[kind]))
    return jobs


def splits(params: Params, dataset: str) -> dict[str, Split]:
    """The images of each split that is evaluated."""
    from sgr.launch.estimate import PUBLISHED, Split

    generated = params.chosen.generated
    if params.chosen.data == "folder" or generated is None:
        return PUBLISHED[dataset]
    about = params.datasets[dataset]
    return {name: Split(generated.images.test, generated.size) for name in {*about.evaluate, about.semantics}}


def resources(params: Params, cluster: Cluster) -> str:
    """What each job asks for."""
    from sgr.launch.units import duration

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
