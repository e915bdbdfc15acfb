"""With SGR_AUDIT set to a folder, each stage's process writes there what it reads below the current folder.

One file a process, a JSON line an event: first its command, then every path opened for reading and every folder
listed, in the order of the first time. Forked children write into their parent's file. Python's own opens are seen,
imports among them (as source or as bytecode); what a native library opens by itself is not.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.util import source_from_cache
from typing import Any

EVENTS = ("open", "os.listdir", "os.scandir")


def is_read(mode: str | None, flags: int) -> bool:
    """Whether the arguments of an "open" event let the content be read."""
    if mode is None:  # os.open
        return flags & os.O_ACCMODE != os.O_WRONLY and not flags & (os.O_CREAT | os.O_TRUNC)
    return "r" in mode or ("+" in mode and "a" in mode)


def install(folder: str, root: str, command: list[str]) -> None:
    """Watch this process from now on."""
    os.makedirs(folder, exist_ok=True)
    log = os.open(os.path.join(folder, f"{os.getpid()}.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(log, (json.dumps({"command": command}) + "\n").encode())
    seen: set[tuple[str, str]] = set()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or isinstance(arguments[0], int):
            return
        if event == "open" and not is_read(arguments[1], arguments[2] or 0):
            return
        path = os.path.join(root, os.fsdecode(arguments[0] or "."))
        kind = "read" if event == "open" else "list"
        if not path.startswith(root + os.sep) or (kind, path) in seen:
            return
        seen.add((kind, path))
        if os.path.isdir(path) != (kind == "list") or not os.path.exists(path):
            return
        path = os.path.relpath(source_from_cache(path) if path.endswith(".pyc") else path, root)
        os.write(log, (json.dumps({kind: path}) + "\n").encode())

    sys.addaudithook(hook)


if "SGR_AUDIT" in os.environ and any(word.startswith("stages.") for word in sys.orig_argv[1:3]):
    install(os.environ["SGR_AUDIT"], os.path.realpath(os.getcwd()), sys.orig_argv[1:])
