"""Stage of a scratch pipeline that trains nothing: one fake job, run and taken as the project's own stages do.

`python -m tests.fake_stage <row>` reads <row>.json (the job's spec) and <row>.where.json, and writes out/<row>/.
"""

from __future__ import annotations

from pathlib import Path

from sgr.files import read_json
from sgr.jobs.cluster import settings
from sgr.jobs.store import Job, JobStore
from stages.common import finish, run

NAMES = ("weights.bin", "metrics/val.json")


def job_of(root: Path, row: str) -> Job:
    """The job of a row of the pipeline in `root`."""
    return Job(
        "tests.fake_jobs:struck", read_json(root / f"{row}.json"), read_json(root / f"{row}.where.json")
    )


def main(row: str) -> None:
    """Write out/<row>/."""
    job = job_of(Path(), row)
    finish([job])
    JobStore(settings().jobs).take(job, NAMES, Path("out", row))


if __name__ == "__main__":
    run(main, "row")
