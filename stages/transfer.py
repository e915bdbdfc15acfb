"""Stage: fine-tune a row of Table 3, one job a seed. `python -m stages.transfer <profile> <row>`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.files import read_json, sha256_file
from stages.common import finish, plan_entry, row_inputs, run, take
from stages.train import join_curves

if TYPE_CHECKING:
    from sgr.launch.store import Job


def main(profile: str, row: str) -> None:
    """Write work/<profile>/transfer/<row>/<seed>/ and results/<profile>/curves/coco/<row>.csv."""
    from sgr.files import write_bytes, write_json

    plan = plan_entry(profile, "transfer", row)
    jobs = transfer_jobs(plan, start(profile, plan), row_inputs(profile, plan))
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


def start(profile: str, plan: dict[str, Any]) -> tuple[dict[str, str], dict[str, str | None]]:
    """What decides the weights that the network starts from, for its content key; and where they are.

    The key of the training job of the start's first seed; the hash of a backbone's weights; nothing for random ones.
    """
    nowhere: dict[str, str | None] = {"weights": None, "model": None}
    folder = Path("work", profile, plan["start"])
    if plan["start_seed"] is not None:
        of_seed = folder / str(plan["start_seed"])
        model = str((of_seed / "model.safetensors").absolute())
        return {"trained": read_json(of_seed / "job.json")["key"]}, nowhere | {"model": model}
    if not plan["pretrained"]:
        return {}, nowhere
    weights = folder / "weights.safetensors"
    return {"weights": sha256_file(weights)}, nowhere | {"weights": str(weights.absolute())}


def transfer_jobs(plan: dict[str, Any], *parts: tuple[dict[str, str], dict[str, Any]]) -> dict[int, Job]:
    """The jobs of a plan entry, by seed.

    Args:
        parts: of `start` and of `stages.common.row_inputs`.
    """
    from sgr.launch.store import Job

    inputs = {key: value for part, _ in parts for key, value in part.items()}
    where = {key: value for _, part in parts for key, value in part.items()}
    settings = {key: value for key, value in plan.items() if key != "seeds"}
    return {
        seed: Job("transfer", {"plan": settings, "seed": seed, **inputs}, where) for seed in plan["seeds"]
    }


if __name__ == "__main__":
    run(main, "profile", "row")
