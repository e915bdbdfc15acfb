"""Stage: what every network costs, plain and with GloRe or SGR. `python -m stages.overhead <profile>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import finish, run, take


def main(profile: str) -> None:
    """Write results/overhead/<profile>.md and .csv: times are measured, so they stand apart from the other tables."""
    from sgr.files import read_json, write_json
    from sgr.plan.jobs import jobs_of
    from sgr.report.overhead import write

    jobs = jobs_of("overhead", profile, "all")
    finish(jobs.values())
    folder = Path("work", profile, "overhead")
    provenance = take(jobs, lambda seed: folder)
    write(read_json(folder / "overhead.json"), profile)
    write_json(Path("results", "provenance", profile, "overhead.json"), provenance["0"])


if __name__ == "__main__":
    run(main, "profile")
