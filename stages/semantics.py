"""Stage: semantics and diversity of a row's tokens. `python -m stages.semantics <profile> <row>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import finish, plan_entry, row_jobs, run, take


def main(profile: str, row: str) -> None:
    """Write results/<profile>/<dataset>/<row>.semantics.json, and the examples of the first seed for Figure 4."""
    from sgr.files import read_json, write_bytes, write_json

    plan = plan_entry(profile, "semantics", row)
    jobs = row_jobs("semantics", profile, row)
    finish(jobs.values())

    folder = Path("work", profile, "semantics", row)
    provenance = take(jobs, ["semantics.json", "tokens.npz"], lambda seed: folder / str(seed))
    seeds = {str(seed): read_json(folder / str(seed) / "semantics.json") for seed in jobs}
    first = folder / str(next(iter(jobs))) / "tokens.npz"
    write_bytes(Path("work", profile, "tokens", plan["dataset"], f"{row}.npz"), first.read_bytes())
    about = {"row": row, "dataset": plan["dataset"]}
    write_json(Path("results", profile, plan["dataset"], f"{row}.semantics.json"), {**about, "seeds": seeds})
    write_json(Path("results", "provenance", profile, f"{row}.semantics.json"), provenance)


if __name__ == "__main__":
    run(main, "profile", "row")
