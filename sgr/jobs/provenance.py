"""Where a result came from: code, versions, machine and time. Kept beside results, never in them."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs.job import Job, damaged
from sgr.jobs.project import Project

LAUNCHED = ("executor", "commit", "dirty", "code", "launched")  # what `launched` tells


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def launched(executor: str, code: Path | None, project: Project) -> dict[str, Any]:
    """What only the process that starts a job knows: the commit of the current folder, as it is now.

    `dirty` speaks of the paths that the project names: parameters and locks change with every experiment.
    """
    commit = _git("rev-parse", "HEAD")
    dirty = None if commit is None else bool(_git("status", "--porcelain", "--", *project.commit_paths))
    return {
        "executor": executor,
        "commit": commit,
        "dirty": dirty,
        "code": code and code.name,
        "launched": now(),
    }


def launch(folder: Path) -> dict[str, Any]:
    """What `launched` said when the job of a folder was prepared. Raises UserError if launch.json is damaged."""
    file = folder / "launch.json"
    with suppress(UserError):
        told = read_json(file)
        if isinstance(told, dict) and "executor" in told:
            return told
    raise damaged(file)


def provenance(
    folder: Path, job: Job, launch: dict[str, Any], started: str, seconds: float
) -> dict[str, Any]:
    """The record of a job that just finished: its `launch`, this machine, its libraries, and its own measured.json.

    `seconds` and `started` are those of the last attempt; `attempts` tells whether there were others.
    """
    record = {
        **launch,
        "attempts": attempts(folder),
        "started": started,
        "finished": now(),
        "wall_seconds": round(seconds, 1),
        "hostname": socket.gethostname(),
        "cpu": _cpu(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in job.code.libraries},
    }
    if record["executor"] == "slurm":
        array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
        record["slurm_job"] = f"{array}_{index}" if array else os.environ.get("SLURM_JOB_ID")
    measured = folder / "measured.json"
    return record | (read_json(measured) if measured.exists() else {})


def attempts(folder: Path) -> int:
    """How often a worker has started on the job: one line each in attempts.txt."""
    path = folder / "attempts.txt"
    return len(path.read_text().splitlines()) if path.exists() else 0


def _cpu() -> str:
    # results are the same bits on one kind of CPU
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    return models[0] if models else platform.machine()


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
