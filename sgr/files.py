"""Files that are whole or absent: every write goes aside, is fsynced, then renamed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from sgr.errors import UserError


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits. Raises UserError if the file cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def fsync_folder(folder: str | os.PathLike[str]) -> None:
    """Make the renames inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def open_aside(path: str | os.PathLike[str], new: bool = False) -> Iterator[BinaryIO]:
    """A binary file beside `path`, to write; it becomes `path` when the block ends without an error.

    It is locked as long as its writer lives, where the disk has locks (see `remove_asides`).

    Raises FileExistsError if it shall be `new` and there is one by then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".aside", dir=path.parent)
    try:
        with open(descriptor, "w+b") as file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            os.fsync(file.fileno())
        if new:
            os.link(aside, path)
            os.unlink(aside)
        else:
            os.replace(aside, path)
    except BaseException as error:
        Path(aside).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise
    fsync_folder(path.parent)


def remove_asides(folder: str | os.PathLike[str]) -> None:
    """Remove what `open_aside` left in a folder, or below it, when its process was killed."""
    for aside in Path(folder).rglob(".*.aside"):
        # an error: its writer is at work, or has just finished
        with suppress(OSError), open(aside, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            aside.unlink()


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace `path` by `data` in one step; missing parent folders are made."""
    with open_aside(path) as file:
        file.write(data)


def write_new_json(path: str | os.PathLike[str], value: Any) -> None:
    """`write_json` for the first of several writers. Raises FileExistsError for the others."""
    with open_aside(path, new=True) as file:
        file.write(_json(value))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replace `path` by `value` as JSON: sorted keys, indent 1, a newline at the end."""
    write_bytes(path, _json(value))


def read_json(path: str | os.PathLike[str]) -> Any:
    """Value of a JSON file. Raises UserError if the file is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from None


def _json(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _umask() -> int:
    # The process's umask can only be read by setting it; mkstemp's 0600 would hide results from a team.
    umask = os.umask(0o022)
    os.umask(umask)
    return umask
