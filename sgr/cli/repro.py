"""`python -m sgr repro`: run `dvc repro` and number its stages."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from sgr.cli.dvc_lock import TEMPORARY
from sgr.cli.graph import asked

DVC = (sys.executable, "-m", "sgr.cli.dvc")
STAGE = re.compile(rb"^(Running stage|Stage) '([^']+)'")


def main(targets: Sequence[str], force: bool = False, single: bool = False) -> int:
    """Run the stages that the targets need, and name the pages that are there then.

    Returns DVC's exit status, or 130 after Ctrl-C. Raises UserError for a target.
    """
    addresses, needed, pages = asked(targets)
    switches = ["--force"] * force + ["--single-item"] * single
    command = [*DVC, "repro", *switches, *(addresses if targets else [])]
    # unbuffered, so that a stage is named when it starts and not when it ends
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (
        alone() as held,
        subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, pass_fds=[held]) as process,
    ):
        assert process.stdout is not None
        try:
            number(process.stdout, len(addresses) if single else needed)
        except KeyboardInterrupt:
            # it has reached DVC and its stage too, which say on their way out what becomes of the job
            sys.stdout.buffer.write(process.stdout.read())
            process.wait()
            return 128 + signal.SIGINT
    if process.returncode == 0:
        print(*(f"{page} is there" for page in pages), sep="\n", end="\n" if pages else "", flush=True)
    return process.returncode


@contextmanager
def alone() -> Iterator[int]:
    """Wait until no other `repro` runs in this project, which DVC would refuse to run beside.

    One runs while a process has the descriptor: its DVC too, which outlives a killed `repro`.
    """
    with open(TEMPORARY / "repro.lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another repro runs in this folder: waiting for its end", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def number(lines: Iterable[bytes], total: int) -> None:
    """Print lines as they come, the first of each stage with its number and the number of all."""
    seen: set[bytes] = set()
    for line in lines:
        if match := STAGE.match(line):
            seen.add(match[2])
            sys.stdout.write(f"[{len(seen)}/{total}] ")
            sys.stdout.flush()
        sys.stdout.buffer.write(line)
        sys.stdout.flush()
