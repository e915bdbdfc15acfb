"""This project, as its jobs know it."""

from __future__ import annotations

from pathlib import Path

from sgr.jobs.job import Job, plain
from sgr.jobs.project import Project
from sgr.plan.meaning import SETTLED, meaning


def check_ranks(job: Job, ranks: int) -> None:
    """Raise UserError if the ranks of a training job could not share its batches evenly."""
    from sgr.training.batch_share import share

    loop = plain(job.settings)["loop"]
    share(loop["batch_size"], loop["accumulate"], ranks)


PROJECT = Project(
    package=Path(__file__).parent,
    prefix="SGR",
    meaning=meaning,
    settled=SETTLED,
    planned_by="dvc repro plan",
    commit_paths=("sgr", "stages/*.py", "requirements.txt", "pyproject.toml"),
    check_ranks=check_ranks,
)
