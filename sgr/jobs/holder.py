"""Which process runs a job."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sgr.jobs.locks import is_running


class Holder(NamedTuple):
    """A worker process and the machine it is on."""

    host: str
    pid: int


def holder(folder: Path) -> Holder | None:
    """The worker that holds the folder's lock, or None: its last line in attempts.txt is written under the lock."""
    if not is_running(folder):
        return None
    attempts = folder / "attempts.txt"
    lines = attempts.read_text().splitlines() if attempts.exists() else []
    if not lines:
        return None
    _, host, _, pid = lines[-1].split()
    return Holder(host, int(pid))
