"""Locks of a folder. The kernel drops them when their holder dies, so none is ever stale."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgr.errors import UserError


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
