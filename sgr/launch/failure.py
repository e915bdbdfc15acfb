"""What to say about a job that ended without a result."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from sgr.errors import UserError
from sgr.files import read_json
from sgr.launch.progress import tail


class JobError(UserError):
    """A job failed or was killed: a sentence with its key and log, then the end of its traceback, if any."""


LINES = 12


def failure(folder: Path, how: str, log: Path | None = None) -> JobError:
    """The error for the job in `folder`: from its failed.json, else from `how` it ended and the end of `log`.

    log: where an executor keeps a job's output if not in `folder/log.txt`.
    """
    job = f"job {folder.name} ({read_json(folder / 'job.json')['kind']})"
    log = log if log and log.exists() else folder / "log.txt"
    if (folder / "failed.json").exists():
        failed = read_json(folder / "failed.json")
        if failed["sentence"]:
            return JobError(f"{job}: {failed['sentence']} (log: {log})")
        last = failed["traceback"].rstrip().splitlines()[-LINES:]
        return JobError("\n".join([f"{job} failed (log: {log}):", *last]))
    sentence = f"{job} {how} (log: {log}); run it again and it resumes from its last checkpoint"
    return JobError("\n".join([sentence, *tail(log)[-LINES:]]))


def interrupted(sentence: str) -> SystemExit:
    """Say what Ctrl-C did; the exit to raise."""
    print(f"\n{sentence}", file=sys.stderr)
    return SystemExit(128 + signal.SIGINT)
