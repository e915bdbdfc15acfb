"""What stage scripts share: arguments, a user's mistake as one line, running jobs and taking what they leave."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.jobs.failure import one_sentence
from sgr.jobs.startup import spare_collections

if TYPE_CHECKING:
    from sgr.jobs.job import Job
    from sgr.plan.entry import Entry


def run(function: Callable[..., None], *names: str) -> None:
    """Call `function` with the command line's arguments, `names`; a user's mistake ends with status 2."""
    parser = argparse.ArgumentParser(description=function.__doc__)
    for name in names:
        parser.add_argument(name)
    arguments = parser.parse_args()
    spare_collections()
<<<<<<< HEAD
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
=======
    with one_sentence():
        function(**vars(arguments))
>>>>>>> house


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
    from sgr.jobs.store import JobStore
    from sgr.machine import settings

    store = JobStore(settings().jobs)
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
    from sgr.plan.entry import read
    from sgr.plan.jobs import SETTINGS, of_entry

    entry = read(SETTINGS[kind], profile, kind, row)
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
