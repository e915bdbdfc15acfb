"""What the jobs' side must know of the project that the jobs belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sgr.jobs.job import Job


def content(source: bytes) -> str:
    """First 16 hex digits of the SHA-256 of a file: the plainest meaning that a source can have."""
    return hashlib.sha256(source).hexdigest()[:16]


def any_ranks(job: Job, ranks: int) -> None:
    """Any number of ranks can share a job's work."""


@dataclass(frozen=True)
class Project:
    """The project whose jobs are run.

    Attributes:
        package: folder of the package, or the one file, that holds the job functions: jobs run from a copy of it.
        prefix: of the environment variables that win over cluster.yaml: `<prefix>_JOBS`, …
        meaning: hash of a source file's content, as `Code.sources` holds it.
        settled: path -> hash of a source that jobs import without using anything of it: it may change, its hash stays.
        planned_by: the command that makes the hashes of `Code.sources` anew, for the user whose code is newer.
        commit_paths: what of the repository a job depends on; changes elsewhere do not make its commit `dirty`.
        check_ranks: called as `check_ranks(job, ranks)` before a job of a kind with `ranks` is submitted; it raises
            UserError if that many cannot share the work.
    """

    package: Path
    prefix: str = "JOBS"
    meaning: Callable[[bytes], str] = content
    settled: Mapping[str, str] = field(default_factory=dict)
    planned_by: str = "dvc repro"
    commit_paths: tuple[str, ...] = (".",)
    check_ranks: Callable[[Job, int], None] = any_ranks
