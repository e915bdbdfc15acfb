"""What every stage script shares: positional arguments, a user's mistake as one line, inputs, and running its jobs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sgr.errors import UserError
from sgr.files import read_json, sha256_file
from sgr.jobs.failure import is_full, no_space
from sgr.jobs.startup import spare_collections

if TYPE_CHECKING:
    from sgr.jobs.store import Job


def run(function: Callable[..., None], *names: str) -> None:
    """Call `function` with the command line's arguments; a UserError ends with status 2.

    names: of positional arguments, `names...` of any number of them, `--name` of a switch, `--name=` of an option.
    """
    parser = argparse.ArgumentParser(description=function.__doc__)
    for name in names:
        if name.endswith("="):
            parser.add_argument(name.removesuffix("="))
        elif name.startswith("--"):
            parser.add_argument(name, action="store_true")
        elif name.endswith("..."):
            parser.add_argument(name.removesuffix("..."), nargs="*")
        else:
            parser.add_argument(name)
    arguments = parser.parse_args()
    spare_collections()
    try:
        function(*vars(arguments).values())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if not is_full(error):
            raise
        print(f"error: {no_space(error.filename or Path.cwd())}", file=sys.stderr)
        raise SystemExit(2) from None


def plan_entry(profile: str, stage: str, key: str) -> dict[str, Any]:
    """The resolved settings of one stage of one row, dataset or backbone, as `stages.plan` wrote them."""
    path = Path("work", profile, "plan", stage, f"{key}.json")
    if not path.exists():
        known = (
            ", ".join(sorted(entry.stem for entry in path.parent.glob("*.json")))
            or "none yet: run stages.plan"
        )
        raise UserError(f"{profile}: {stage} knows no {key!r}, it knows {known}")
    entry: dict[str, Any] = read_json(path)
    return entry


def manifest_path(profile: str, dataset: str) -> Path:
    """Where `download` put a dataset's manifest."""
    path = Path("work", profile, "data", f"{dataset}.json")
    if not path.exists():
        raise UserError(f"{path} is missing: run dvc repro download@{dataset}")
    return path


def data_folder(plan: dict[str, Any], manifest: Path) -> Path:
    """The dataset's folder on this machine: the user's, or the generated one that belongs to the manifest."""
    from sgr.jobs.cluster import main_root

    dataset = plan["dataset"]
    if plan["data"] == "generated":
        folder = generated_folder(main_root(), dataset, manifest)
        if not folder.is_dir():
            raise UserError(f"{folder} is missing: run dvc repro --force --single-item download@{dataset}")
        return folder
    folder = own_folder(dataset)
    if not folder.is_dir():
        raise UserError(
            f"no folder {folder} for dataset {dataset}: set SGR_DATA, or data in cluster.yaml, to a folder that holds "
            f"{dataset}/, or run dvc repro --force --single-item download@{dataset}"
        )
    return folder


def own_folder(dataset: str) -> Path:
    """Where a real dataset is or is to be: the folder that the user names, else data/ of the repository."""
    from sgr.jobs.cluster import main_root
    from sgr.machine import settings

    return settings().data_folder(dataset) or main_root() / "data" / dataset


def generated_folder(root: Path, dataset: str, manifest: Path) -> Path:
    """Generated images are named by their manifest: other settings never write over them."""
    return root / "data" / "generated" / f"{dataset}-{sha256_file(manifest)[:16]}"


def row_inputs(profile: str, plan: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Hashes of what every job of a row reads, for its content key; and where these inputs are."""
    from sgr.jobs.cluster import settings

    cluster = settings()
    manifest = manifest_path(profile, plan["dataset"])
    workers = cluster.loader_workers
    where = {
        "data": str(data_folder(plan, manifest).absolute()),
        "manifest": str(manifest.absolute()),
        "loader_workers": workers if workers is not None else min(8, (os.cpu_count() or 1) // 4),
        "checkpoint_seconds": cluster.checkpoint_seconds,
    }
    return {"manifest": sha256_file(manifest)}, where


def training_inputs(profile: str, plan: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """`row_inputs` of a training job: the components and the weights too, where it reads them."""
    inputs, where = row_inputs(profile, plan)
    where |= {"components": None, "weights": None}
    if plan["concept_loss"]:
        components = Path("work", profile, "components", f"{plan['dataset']}.zip")
        inputs["components"], where["components"] = sha256_file(components), str(components.absolute())
    weights = Path("work", profile, "weights", plan["weights"], "weights.safetensors")
    if plan["pretrained"]:
        inputs["weights"], where["weights"] = sha256_file(weights), str(weights.absolute())
    return inputs, where


def training_jobs(plan: dict[str, Any], inputs: dict[str, str], where: dict[str, Any]) -> dict[int, Job]:
    """The training jobs of a plan entry, by seed."""
    from sgr.jobs.store import Job

    settings = {key: value for key, value in plan.items() if key not in ("seeds", "weights")}
    return {seed: Job("train", {"plan": settings, "seed": seed, **inputs}, where) for seed in plan["seeds"]}


def finish(jobs: Iterable[Job]) -> None:
    """Run jobs to their end on this machine's executor."""
    from sgr.jobs.cluster import settings
    from sgr.jobs.run.executors import run as run_jobs

    run_jobs(list(jobs), settings())


def take(jobs: dict[int, Job], names: list[str], into: Callable[[int], Path]) -> dict[str, Any]:
    """Copy the artefacts of each seed's job to `into(seed)`; returns their provenance by seed."""
    from sgr.jobs.cluster import settings
    from sgr.jobs.store import JobStore

    store = JobStore(settings().jobs)
    provenance = {}
    for seed, job in jobs.items():
        store.take(job, names, into(seed))
        provenance[str(seed)] = read_json(store.folder(job) / "provenance.json")
    return provenance


class Trained(NamedTuple):
    """A trained network: key of its training job, file of its weights, and that job if it may not have finished yet."""

    key: str
    weights: Path
    job: Job | None = None


def trained_jobs(
    kind: str,
    plan: dict[str, Any],
    models: Mapping[int, Trained],
    inputs: dict[str, str],
    where: dict[str, Any],
) -> dict[int, Job]:
    """The jobs of a plan entry that start from trained networks, by seed; their key follows from the training job's.

    `models`: of `row_models` or `stored_models`; `inputs` and `where`: of `row_inputs`.
    """
    from sgr.jobs.store import Job

    settings = {key: value for key, value in plan.items() if key != "seeds"}
    return {
        seed: Job(
            kind,
            {"plan": settings, "seed": seed, "trained": model.key, **inputs},
            {**where, "model": str(model.weights.absolute())},
            (model.job,) if model.job else (),
        )
        for seed, model in models.items()
    }


def row_jobs(
    kind: str,
    profile: str,
    row: str,
    models: Mapping[int, Trained] | None = None,
    stage: str = "train",
) -> dict[int, Job]:
    """The jobs of the stage `kind` of a row, by seed; `models` are those of the stage `stage` if not given."""
    plan = plan_entry(profile, kind, row)
    return trained_jobs(kind, plan, models or row_models(profile, plan, stage), *row_inputs(profile, plan))


def row_models(profile: str, plan: dict[str, Any], stage: str = "train") -> dict[int, Trained]:
    """The trained networks of a row, by seed, as the stage `train` or `transfer` left them."""
    folder = Path("work", profile, stage, plan["row"])
    return {seed: trained(folder / str(seed)) for seed in plan["seeds"]}


def trained(folder: Path) -> Trained:
    """The trained network that a stage left in the folder of a row and seed."""
    return Trained(read_json(folder / "job.json")["key"], folder / "model.safetensors")


def stored_models(jobs: Mapping[int, Job]) -> dict[int, Trained]:
    """The networks that training jobs leave, or will leave, in the job store."""
    from sgr.jobs.cluster import settings
    from sgr.jobs.store import JobStore

    store = JobStore(settings().jobs)
    return {
        seed: Trained(job.key, store.folder(job) / "model.safetensors", job) for seed, job in jobs.items()
    }
