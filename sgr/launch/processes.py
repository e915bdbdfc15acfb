"""Jobs on this machine: in this process, in one of their own, or watched while another runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sgr.launch.cluster import main_root
from sgr.launch.failure import failure, interrupted
from sgr.launch.locks import is_running
from sgr.launch.progress import Progress, last_line, progress
from sgr.launch.provenance import launched
from sgr.launch.snapshot import environment, snapshot
from sgr.launch.store import Job, JobStore, is_finished
from sgr.launch.worker import work

POLL_SECONDS = 0.2


def inline(store: JobStore, job: Job) -> None:
    """Run the job in this process. Raises JobError if it fails; Ctrl-C ends it."""
    folder = store.prepare(job, launched("inline", code=None))
    try:
        work(folder)
    except Exception as error:
        raise failure(folder, f"stopped: {error}") from error


def local(store: JobStore, job: Job) -> None:
    """Run the job in a session of its own, which outlives this one. Raises JobError if it fails."""
    code = snapshot(store.root)
    folder = store.prepare(job, launched("local", code))
    with open(folder / "log.txt", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sgr.launch.worker", str(folder)],
            cwd=main_root(),
            env={**os.environ, **environment(code, job.threads)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _watch(folder, lambda: process.poll() is None)
    if not is_finished(folder):
        raise failure(folder, _ending(process.returncode))


def attach(folder: Path) -> None:
    """Wait for the process that holds the job's lock. Raises JobError if the job failed there.

    Returns without a result if that process died: the job is then free to be started again.
    """
    _watch(folder, lambda: is_running(folder))
    if not is_finished(folder) and (folder / "failed.json").exists():
        raise failure(folder, "failed")


def _watch(folder: Path, running: Callable[[], bool]) -> None:
    try:
        with progress() as show:
            while running():
                _show(show, folder)
                time.sleep(POLL_SECONDS)
            _show(show, folder)
    except KeyboardInterrupt:
        raise interrupted(
            f"job {folder.name} runs on: run the command again to attach to it, its log is {folder}/log.txt"
        ) from None


def _show(show: Progress, folder: Path) -> None:
    if line := last_line(folder / "log.txt"):
        show(f"{folder.name[:8]} {line}")


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed by SIGKILL, perhaps for want of memory,"
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
