"""Every dvc.lock whole, though DVC rewrites it in place and may be killed in the middle.

This project's commands have DVC write it aside and rename it (sgr/cli/dvc.py). A plain `dvc repro` does not: so
commands and stages keep a copy of each lock that they see whole, and the next command puts it in the place of one that
is cut.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sgr.files import write_bytes

TEMPORARY = Path(".dvc", "tmp")
HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")


def keep(root: Path) -> None:
    """Copy the whole locks of the project in `root`; the copy of one that is gone goes too."""
    copies = {copy: lock for lock, copy in _locks(root)}
    for copy in (root / TEMPORARY / "locks").glob("*"):
        if copy not in copies:
            copy.unlink()
    for copy, lock in copies.items():
        text, kept = lock.read_bytes(), _read(copy)
        if text != kept and _is_whole(text) and _cut(lock, text, kept) is None:
            write_bytes(copy, text)


def mend(root: Path) -> None:
    """Put right what a killed DVC has cut in the project in `root`, say so on stderr, and `keep` the rest.

    A lock without a copy keeps the stages that are whole. The caller holds DVC's own lock: a lock that is being written
    looks like a cut one.
    """
    for lock, copy in _locks(root):
        text, kept = lock.read_bytes(), _read(copy)
        if text == kept or (whole := _cut(lock, text, kept)) is None:
            continue
        how = "what it lacks runs again" if kept is None else f"restored from {copy.relative_to(root)}"
        if better := kept or whole:
            write_bytes(lock, better)
        else:
            lock.unlink()
        print(f"{lock.relative_to(root)} was cut when DVC was killed: {how}", file=sys.stderr)
    in_use = root / TEMPORARY / "rwlock"
    try:
        json.loads(_read(in_use) or b"")
    except ValueError:
        in_use.unlink(missing_ok=True)  # DVC refuses to run with a cut one
    for of_run in root.glob(".dvc/cache/runs/*/*"):
        with suppress(OSError):
            of_run.rmdir()  # DVC makes one before it records a run there, and fails on an empty one
    keep(root)


def _locks(root: Path) -> Iterator[tuple[Path, Path]]:
    """Each dvc.lock and the place of its copy."""
    for lock in (*root.glob("dvc.lock"), *root.glob("stages/**/dvc.lock")):
        name = str(lock.relative_to(root)).replace("/", "%")
        yield lock, root / TEMPORARY / "locks" / f"{name}.whole"


def _cut(lock: Path, text: bytes, kept: bytes | None) -> bytes | None:
    """The whole stages of a lock that ends too early; None if it does not.

    It ends in the middle of a stage, or where its copy goes on. DVC writes from the beginning: what is wrong elsewhere,
    as in a conflict, is its user's. So is an earlier version that git put there, which may be a beginning too.
    """
    if _is_whole(text):
        early = kept is not None and kept.startswith(text) and not _is_of_git(lock)
        return text if early else None
    if re.search(rb"^<<<<<<< ", text, re.MULTILINE):
        return None
    last = max((match.start() for match in re.finditer(rb"^  \S", text, re.MULTILINE)), default=0)
    before = text[:last]
    if before.count(b"\n") <= 2:  # the schema, and the heading of the stages
        return b""
    return before if _is_whole(before) else None


def _is_whole(text: bytes) -> bool:
    """Whether every stage has its command and outputs, and every file its hash and size."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        stages = YAML(typ="safe").load(text)["stages"].values()
        files = [file for stage in stages for file in (*stage.get("deps", ()), *stage["outs"])]
        return (
            text.endswith(b"\n")
            and all(stage["cmd"] for stage in stages)
            and all(file["path"] and HASH.fullmatch(file["md5"]) and file["size"] >= 0 for file in files)
            and all("nfiles" in file for file in files if file["md5"].endswith(".dir"))
        )
    except (YAMLError, AttributeError, KeyError, TypeError, ValueError):
        return False


def _is_of_git(lock: Path) -> bool:
    """Whether git has the file as it is."""
    command = ["git", "status", "--porcelain", "--", lock.name]
    try:
        done = subprocess.run(command, cwd=lock.parent, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0 and not done.stdout


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
