"""Stage: what every network costs, plain and with GloRe or SGR. `python -m stages.overhead <profile>`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stages.common import finish, plan_entry, run, take

if TYPE_CHECKING:
    from sgr.jobs.store import Job


def jobs_of(profile: str) -> dict[int, Job]:
    """The one job that measures all networks, as if of a seed 0."""
    from sgr.jobs.store import Job

    return {0: Job("overhead", {"plan": plan_entry(profile, "overhead", "all")})}


def main(profile: str) -> None:
    """Write results/overhead/<profile>.md and .csv: times are measured, so they stand apart from the other tables."""
    from sgr.files import read_json, write_json
    from sgr.report.overhead import write

    jobs = jobs_of(profile)
    finish(jobs.values())
    folder = Path("work", profile, "overhead")
    provenance = take(jobs, ["overhead.json"], lambda seed: folder)
    write(read_json(folder / "overhead.json"), profile)
    write_json(Path("results", "provenance", profile, "overhead.json"), provenance["0"])


if __name__ == "__main__":
    run(main, "profile")
