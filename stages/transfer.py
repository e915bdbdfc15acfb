"""Stage: fine-tune a row of Table 3, one job a seed. `python -m stages.transfer <profile> <row>`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.files import sha256_file
from stages.common import Trained, finish, plan_entry, row_inputs, run, take, trained
from stages.train import join_curves

if TYPE_CHECKING:
    from sgr.jobs.store import Job


def jobs_of(
    profile: str, plan: dict[str, Any], models: Mapping[int, Trained] | None = None
) -> dict[int, Job]:
    """The transfer jobs of a plan entry, by seed; all start from the first seed of their start.

    Their key follows from that training job's, or from the hash of a backbone's weights.

    Args:
        models: networks of the row it starts from, by seed; those of the stage `train` if not given.
    """
    from sgr.jobs.store import Job

    inputs, where = row_inputs(profile, plan)
    where |= {"weights": None, "model": None}
    after: tuple[Job, ...] = ()
    folder = Path("work", profile, plan["start"])
    if plan["start_seed"] is not None:
        seed = plan["start_seed"]
        model = models[seed] if models else trained(folder / str(seed))
        inputs["trained"], where["model"] = model.key, str(model.weights.absolute())
        after = (model.job,) if model.job else ()
    elif plan["pretrained"]:
        weights = folder / "weights.safetensors"
        inputs["weights"], where["weights"] = sha256_file(weights), str(weights.absolute())
    settings = {key: value for key, value in plan.items() if key != "seeds"}
    specs: dict[int, dict[str, Any]] = {
        seed: {"plan": settings, "seed": seed, **inputs} for seed in plan["seeds"]
    }
    return {seed: Job("transfer", spec, where, after) for seed, spec in specs.items()}


def main(profile: str, row: str) -> None:
    """Write work/<profile>/transfer/<row>/<seed>/ and results/<profile>/curves/coco/<row>.csv."""
    from sgr.files import write_bytes, write_json

    plan = plan_entry(profile, "transfer", row)
    jobs = jobs_of(profile, plan)
    finish(jobs.values())

    folder = Path("work", profile, "transfer", row)
    provenance = take(jobs, ["model.safetensors", "curve.csv"], lambda seed: folder / str(seed))
    for seed, job in jobs.items():
        write_json(folder / str(seed) / "job.json", {"key": job.key})
    write_bytes(
        Path("results", profile, "curves", plan["dataset"], f"{row}.csv"),
        join_curves(folder, plan["seeds"]).encode(),
    )
    write_json(Path("results", "provenance", profile, f"{row}.transfer.json"), provenance)


if __name__ == "__main__":
    run(main, "profile", "row")
