"""Stage of a scratch pipeline that trains nothing: one fake job, run and taken as the project's own stages do.

`python -m tests.fake_stage <row>` reads <row>.json (settings and seed of the job) and <row>.where.json, and writes
out/<row>/.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sgr.files import read_json
from sgr.jobs.failure import one_sentence
from sgr.jobs.job import Job
from sgr.jobs.run.executors import run
from sgr.jobs.slurm import squeue
from sgr.machine import settings
from tests.fake_jobs import COUNTED, kind

STRUCK = kind("struck", *COUNTED, module="tests.fake_jobs")


def job_of(root: Path, row: str) -> Job:
    """The job of a row of the pipeline in `root`."""
    what = read_json(root / f"{row}.json")
    return Job(STRUCK, what["settings"], what["seed"], where=read_json(root / f"{row}.where.json"))


def main(row: str) -> None:
    """Write out/<row>/."""
    squeue.SLOWEST_POLL_SECONDS = 1
    with one_sentence():
        cluster, job = settings(), job_of(Path(), row)
        run([job], cluster)
        cluster.store.take(job, COUNTED, Path("out", row))


if __name__ == "__main__":
    main(*sys.argv[1:])
