"""Stage: train a row, one job a seed. `python -m stages.train <profile> <row>`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.common import finish, plan_entry, run, take, training_inputs, training_jobs

if TYPE_CHECKING:
    from sgr.jobs.store import Job


def jobs_of(profile: str, row: str) -> dict[int, Job]:
    """The training jobs of a row, by seed."""
    plan = plan_entry(profile, "train", row)
    return training_jobs(plan, *training_inputs(profile, plan))


def main(profile: str, row: str) -> None:
    """Write work/<profile>/train/<row>/<seed>/ and results/<profile>/curves/<dataset>/<row>.csv."""
    from sgr.files import write_bytes, write_json

    plan = plan_entry(profile, "train", row)
    jobs = jobs_of(profile, row)
    finish(jobs.values())

    folder = Path("work", profile, "train", row)
    provenance = take(jobs, ["model.safetensors", "curve.csv"], lambda seed: folder / str(seed))
    for seed, job in jobs.items():
        write_json(folder / str(seed) / "job.json", {"key": job.key})
    write_bytes(
        Path("results", profile, "curves", plan["dataset"], f"{row}.csv"),
        join_curves(folder, plan["seeds"]).encode(),
    )
    write_json(Path("results", "provenance", profile, f"{row}.train.json"), provenance)


def join_curves(folder: Path, seeds: list[int]) -> str:
    """The curves of all seeds as one CSV with a first column `seed`."""
    rows: list[list[Any]] = []
    for seed in seeds:
        header, *lines = csv.reader((folder / str(seed) / "curve.csv").read_text().splitlines())
        rows += [["seed", *header]] if not rows else []
        rows += [[seed, *line] for line in lines]
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


if __name__ == "__main__":
    run(main, "profile", "row")
