"""Locks of a folder, and which process holds them. The kernel drops a lock when its holder dies, so none is stale."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sgr.errors import UserError


class Holder(NamedTuple):
    """A worker process and the machine it is on."""

    host: str
    pid: int


@contextmanager
def locked(folder: Path, name: str = "lock", setting: str = "jobs") -> Iterator[None]:
    """Hold the exclusive lock `folder/name`; waits for it. `setting` of cluster.yaml names the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "a") as file:
        _flock(file.fileno(), fcntl.LOCK_EX, folder, setting)
        yield


def is_running(folder: Path) -> bool:
    """Whether a worker holds the folder's lock."""
    try:
        with open(folder / "lock") as file:
            _flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB, folder)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


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


def _flock(descriptor: int, operation: int, folder: Path, setting: str = "jobs") -> None:
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        sentence = (
            f"{folder} has no file locks ({error.strerror}): set `{setting}` in cluster.yaml to another disk"
        )
        raise UserError(sentence) from None
