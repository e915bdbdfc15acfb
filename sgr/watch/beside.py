"""A watch in a process of its own, as long as a stage waits for trainings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sgr.jobs.job import Job
from sgr.kinds import TRAIN, TRANSFER
from sgr.machine import Machine


@contextmanager
def watched(jobs: Sequence[Job], machine: Machine) -> Iterator[None]:
    """Watch while the block runs, if the machine's settings ask for it and a training among the jobs is not done."""
    trainings = [job for job in jobs if job.kind.name in (TRAIN.name, TRANSFER.name)]
    if machine.watch_images is None or all(map(machine.store.finished, trainings)):
        yield
        return
    watcher = subprocess.Popen(
        [sys.executable, "-m", "sgr", "watch"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        watcher.terminate()
        watcher.wait()
