"""Stage: box and mask AP of a row of Table 3. `python -m stages.detect <profile> <row>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import finish, plan_entry, row_jobs, run, take


def main(profile: str, row: str) -> None:
    """Write results/<profile>/coco/<row>.json, one entry a seed."""
    from sgr.files import read_json, write_json

    plan = plan_entry(profile, "detect", row)
    jobs = row_jobs("detect", profile, row, stage="transfer")
    finish(jobs.values())

    folder = Path("work", profile, "detect", row)
    provenance = take(jobs, ["metrics.json"], lambda seed: folder / str(seed))
    seeds = {str(seed): read_json(folder / str(seed) / "metrics.json") for seed in jobs}
    about = {"row": row, "dataset": plan["dataset"], "backbone": plan["network"]["backbone"]}
    write_json(Path("results", profile, plan["dataset"], f"{row}.json"), {**about, "seeds": seeds})
    write_json(Path("results", "provenance", profile, f"{row}.detect.json"), provenance)


if __name__ == "__main__":
    run(main, "profile", "row")
