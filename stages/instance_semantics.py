"""Stage: S and D of a row's tokens over instances. `python -m stages.instance_semantics <profile> <row>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import finish, plan_entry, row_jobs, run, take


def main(profile: str, row: str) -> None:
    """Write results/<profile>/<dataset the row was trained on>/<row>.instances.json, one entry a seed."""
    from sgr.files import read_json, write_json

    plan = plan_entry(profile, "instance_semantics", row)
    jobs = row_jobs("instance_semantics", profile, row)
    finish(jobs.values())

    folder = Path("work", profile, "instance_semantics", row)
    provenance = take(jobs, ["instance_semantics.json"], lambda seed: folder / str(seed))
    seeds = {str(seed): read_json(folder / str(seed) / "instance_semantics.json") for seed in jobs}
    about = {"row": row, "dataset": plan["dataset"]}
    result = Path("results", profile, plan["trained_on"], f"{row}.instances.json")
    write_json(result, {**about, "seeds": seeds})
    write_json(Path("results", "provenance", profile, f"{row}.instance_semantics.json"), provenance)


if __name__ == "__main__":
    run(main, "profile", "row")
