"""Stage: train a row, one job a seed. `python -m stages.train <profile> <row>`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from stages.common import finish, plan_entry, row_inputs, run, take


def main(profile: str, row: str) -> None:
    """Write work/<profile>/train/<row>/<seed>/ and results/<profile>/curves/<dataset>/<row>.csv."""
    from sgr.files import sha256_file, write_bytes, write_json
    from sgr.launch.store import Job

    plan = plan_entry(profile, "train", row)
    inputs, where = row_inputs(profile, plan)
    where |= {"components": None, "weights": None}
    if plan["concept_loss"]:
        components = Path("work", profile, "components", f"{plan['dataset']}.zip")
        inputs["components"], where["components"] = sha256_file(components), str(components.absolute())
    weights = Path("work", profile, "weights", plan["weights"], "weights.safetensors")
    if plan["pretrained"]:
        inputs["weights"], where["weights"] = sha256_file(weights), str(weights.absolute())
    settings = {key: value for key, value in plan.items() if key not in ("seeds", "weights")}
    jobs = {seed: Job("train", {"plan": settings, "seed": seed, **inputs}, where) for seed in plan["seeds"]}
    finish(jobs)

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
