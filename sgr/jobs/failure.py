"""What to say about a job that ended without a result."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs.job import Job
from sgr.jobs.log import tail

LINES = 12
RESUME = "run it again and it resumes from its last checkpoint"
# With less than this a disk is full: no job leaves its folder alone to be so exact.
FULL_BYTES = 1 << 16
# What SLURM's daemons write into a job's output when they, or the kernel for them, kill it for want of memory.
OVER_MEMORY = ("exceeded memory limit", "oom-kill", "oom_kill")


class JobError(UserError):
    """A job failed or was killed: a sentence with its key and log, then the end of its traceback, if any."""


class Ending(NamedTuple):
    """How a job ended that left no failed.json.

    how: goes on after the job's name; remedy: what the user can do; explained: whether `how` tells the cause, so that
    the end of the log would add nothing.
    """

    how: str
    remedy: str = RESUME
    explained: bool = False


def failure(folder: Path, ending: Ending, log: Path | None = None) -> JobError:
    """The error for the job in `folder`: from its failed.json, else from its `ending` and the end of `log`.

    log: where an executor keeps a job's output if not in `folder/log.txt`.
    """
    job = _name(folder)
    log = log if log and log.exists() else folder / "log.txt"
    if failed := _failed(folder):
        if failed["sentence"]:
            return JobError(f"{job}: {failed['sentence']} (log: {log})")
        last = failed["traceback"].rstrip().splitlines()[-LINES:]
        sentence = f"{job} failed with {last[-1]} (log: {log}); mend the cause, {RESUME}"
        return JobError("\n".join([sentence, *last]))
    if shutil.disk_usage(folder).free < FULL_BYTES:
        # A job that cannot write cannot say so either.
        return JobError(f"{job}: {no_space(folder)} (log: {log})")
    if not os.access(folder, os.W_OK):
        return JobError(f"{job}: {no_access(folder)} (log: {log})")
    where = f"log: {log}" if log.exists() else "it never started"
    sentence = f"{job} {ending.how} ({where}); {ending.remedy}"
    return JobError("\n".join([sentence, *([] if ending.explained else tail(log)[-LINES:])]))


def _failed(folder: Path) -> dict[str, str] | None:
    """What failed.json says; nothing without one, or from one that is damaged."""
    with suppress(UserError, KeyError, TypeError, AttributeError):
        told = read_json(folder / "failed.json")
        if told["traceback"].strip():
            return {"sentence": told["sentence"], "traceback": told["traceback"]}
    return None


def _name(folder: Path) -> str:
    try:
        job = Job.known(folder)
    except UserError:
        return f"job {folder.name}"
    seed = "" if job.seed is None else f", seed {job.seed}"
    return f"job {folder.name} ({job.kind.name}{f' of {job.row}{seed}' if job.row else ''})"


def ended_in_slurm(identity: str, shown: Mapping[str, str], log: Path) -> Ending:
    """How a SLURM job ended.

    shown: fields of `scontrol show job`, none if SLURM has forgotten the job; log: the job's output.
    """
    state = shown.get("JobState", "UNKNOWN")
    how = f"ended as {state} in SLURM job {identity}"
    status, _, number = shown.get("ExitCode", "0:0").partition(":")
    if state == "OUT_OF_MEMORY" or any(mark in line for line in tail(log) for mark in OVER_MEMORY):
        return Ending(
            f"{how}, killed for want of memory", f"raise `memory_gb` in cluster.yaml, {RESUME}", True
        )
    if state == "TIMEOUT":
        return Ending(f"{how}: it did not stop when SLURM warned it of its time limit", RESUME, True)
    if state == "CANCELLED":
        failed = shown.get("Reason") == "DependencyNeverSatisfied"
        return Ending(f"{how}{', since the job it waited for has failed' if failed else ''}", RESUME, True)
    # what srun says when the program it was to start is not on the node
    if missing := next(
        filter(None, (re.search(r"execve\(\): (.+): No such file", line) for line in tail(log))), None
    ):
        return Ending(f"{how}: no {missing[1]} on its node", f"put it back there, {RESUME}", True)
    # srun and the shell hand a signal on as 128 more
    killed = int(number) or int(status) - 128
    if killed in set(signal.Signals):
        return Ending(f"{how}, killed by {signal.Signals(killed).name}", RESUME, True)
    return Ending(how)


def no_space(path: object, then: str = RESUME) -> str:
    """What to say of the disk that holds `path`; `then` follows the remedy."""
    return f"no space left on the disk of {path}: free some, {then}"


def no_access(path: object, then: str = RESUME) -> str:
    """What to say of a file or folder that this user may not use, or of one on a disk that takes no writes."""
    return f"no access to {path}: make it readable and writable, {then}"


def not_installed(package: str) -> str:
    """What to say of a package that requirements.txt has and this Python has not."""
    return (
        f"{sys.executable} has no package {package}: run `source .venv/bin/activate`, or the command by `make`; "
        "`make install` brings .venv up to requirements.txt"
    )


def is_full(error: BaseException) -> bool:
    """Whether an error tells of a full disk, or of a user's full share of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say a user's mistake, a full or closed disk, or a missing package as one line, and exit with status 2."""
    try:
        yield
    except UserError as error:
        sentence = str(error)
    except OSError as error:
        if not is_full(error) and error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        sentence = (no_space if is_full(error) else no_access)(error.filename or Path.cwd(), "run it again")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or find_spec(
            package
        ):  # one that is there lacks a module: no matter of what is installed
            raise
        sentence = not_installed(package)
    else:
        return
    print(f"error: {sentence}", file=sys.stderr)
    raise SystemExit(2)


def interrupted(sentence: str) -> SystemExit:
    """Say what Ctrl-C did; the exit to raise."""
    print(f"\n{sentence}", file=sys.stderr)
    return SystemExit(128 + signal.SIGINT)
