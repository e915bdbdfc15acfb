"""What is said of a job that ended without a result."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from sgr.files import read_json
from sgr.jobs.failure import Ending, ended_in_slurm, failure, one_sentence
from sgr.jobs.job import Job, Kind
from sgr.jobs.store import JobStore
from sgr.jobs.worker import record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    job = Job(Kind("train", "fake_jobs:count", ()), {}, 3, row="camvid-fcn")
    return JobStore(tmp_path).prepare(job, {"executor": "slurm"})


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({"JobState": "OUT_OF_MEMORY", "ExitCode": "0:125"}, "OUT_OF_MEMORY .*killed for want of memory"),
        ({"JobState": "CANCELLED", "Reason": "DependencyNeverSatisfied"}, "the job it waited for has failed"),
        ({"JobState": "FAILED", "ExitCode": "0:9"}, "killed by SIGKILL"),
        ({"JobState": "FAILED", "ExitCode": "139:0"}, "killed by SIGSEGV"),
        ({"JobState": "NODE_FAIL", "ExitCode": "0:0"}, "NODE_FAIL in SLURM job 7$"),
        ({}, "UNKNOWN in SLURM job 7$"),
    ],
)
def test_ending_in_slurm(shown: dict[str, str], said: str, tmp_path: Path) -> None:
    ending = ended_in_slurm("7", shown, tmp_path / "log.txt")
    assert re.search(said, ending.how)


def test_missing_python_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(
        "slurmstepd-n1: error: execve(): /venv/bin/python: No such file or directory\n"
    )
    ending = ended_in_slurm("7", {"JobState": "FAILED", "ExitCode": "2:0"}, tmp_path / "log.txt")
    assert ending.how.endswith("SLURM job 7: no /venv/bin/python on its node") and ending.explained


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_closed_disk_is_one_sentence(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"), one_sentence():
        raise OSError(number, os.strerror(number), "/jobs/feed")
    said = capsys.readouterr().err
    assert said.startswith("error: no access to /jobs/feed: make it readable and writable")


def test_sentence_names_row_seed_log_and_remedy(folder: Path) -> None:
    (folder / "log.txt").write_text("the last words\n")
    error = str(failure(folder, Ending("ended as FAILED")))
    first, *rest = error.splitlines()
    assert first == (
        f"job {folder.name} (train of camvid-fcn, seed 3) ended as FAILED (log: {folder}/log.txt); "
        "run it again and it resumes from its last checkpoint"
    )
    assert rest == ["the last words"]


def test_full_disk_is_a_sentence_even_if_there_is_room_again(folder: Path) -> None:
    record(folder, OSError(errno.ENOSPC, "No space left on device"))
    assert "no space left" in read_json(folder / "failed.json")["sentence"]
    assert "no space left on the disk of" in str(failure(folder, Ending("failed")))
