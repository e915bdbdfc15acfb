"""Jobs on this machine: in this process, in one of their own, or watched while another runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sgr.jobs.cluster import Cluster, main_root
from sgr.jobs.failure import Ending, JobError, failure, interrupted
from sgr.jobs.job import Job
from sgr.jobs.locks import holder, is_running
from sgr.jobs.provenance import launched
from sgr.jobs.run.progress import progress
from sgr.jobs.run.status import Queued, describe
from sgr.jobs.snapshot import check_code, environment, snapshot
from sgr.jobs.store import is_finished
from sgr.jobs.worker import work

POLL_SECONDS = 0.2


def inline(cluster: Cluster, job: Job) -> None:
    """Run the job in this process. Raises JobError if it fails; Ctrl-C ends it."""
    check_code([job], cluster.project)
    folder = cluster.store.prepare(job, launched("inline", None, cluster.project))
    try:
        work(folder)
    except Exception as error:
        raise failure(folder, Ending(f"stopped: {error}")) from error


def local(cluster: Cluster, jobs: Sequence[Job], at_once: int, outlive: bool = True) -> Iterator[JobError]:
    """Run each job in a process of its own, `at_once` side by side, once those of its `after` have finished.

    Yields the error of each job that fails, when it does; what waits for it is not started.

    Args:
        outlive: whether the processes run on when this one, or its interest, ends; else they end with it.
    """
    store, waiting, running = cluster.store, list(jobs), dict[Path, subprocess.Popen[bytes]]()
    try:
        with progress() as show:
            while True:
                while len(running) < at_once and (job := next(filter(store.ready, waiting), None)):
                    waiting.remove(job)
                    running[store.folder(job)] = _start(cluster, job)
                if not running:
                    return
                time.sleep(POLL_SECONDS)
                held = {folder: _shown(process.pid) for folder, process in running.items()}
                ended = len(jobs) - len(waiting) - len(running)
                show(f"{ended} of {len(jobs)} jobs ended; {describe(held)}" if jobs[1:] else describe(held))
                for folder in [folder for folder, process in running.items() if process.poll() is not None]:
                    status = running.pop(folder).returncode
                    if not is_finished(folder):
                        yield failure(folder, _ending(status))
    except KeyboardInterrupt:
        if outlive:
            raise _runs_on(list(running)) from None
        raise
    finally:
        if not outlive:
            _end(running.values())


def _end(running: Iterable[subprocess.Popen[bytes]]) -> None:
    for process in running:
        process.terminate()
    for process in running:
        process.wait()


def _start(cluster: Cluster, job: Job) -> subprocess.Popen[bytes]:
    code = snapshot(cluster.jobs, cluster.project, [job])
    folder = cluster.store.prepare(job, launched("local", code, cluster.project))
    with open(folder / "log.txt", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "sgr.jobs.worker", str(folder)],
            cwd=main_root(),
            env={**os.environ, **environment(code, job.threads)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def attach(folder: Path) -> None:
    """Wait for the process that holds the job's lock. Raises JobError if the job failed there.

    Returns without a result if that process died: the job is then free to be started again.
    """
    try:
        with progress() as show:
            while is_running(folder):
                if found := holder(folder):
                    show(describe({folder: _shown(found.pid, found.host)}))
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        raise _runs_on([folder]) from None
    if not is_finished(folder) and (folder / "failed.json").exists():
        raise failure(folder, Ending("failed"))


def _shown(pid: int, host: str = "") -> Queued:
    return Queued(f"pid {pid}", "RUNNING", host)


def _runs_on(folders: list[Path]) -> SystemExit:
    names = ", ".join(folder.name for folder in folders)
    logs = " ".join(f"{folder}/log.txt" for folder in folders)
    return interrupted(f"{names}: runs on; run the command again to attach, the log is {logs}")


def _ending(status: int) -> Ending:
    if status == -signal.SIGKILL:
        return Ending("was killed by SIGKILL, perhaps for want of memory,", explained=True)
    if status < 0:
        return Ending(f"was killed by {signal.Signals(-status).name}", explained=True)
    return Ending(f"ended with status {status}")
