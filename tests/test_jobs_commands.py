"""The commands that list, cancel and clean up jobs, as a user runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sgr.jobs.run.executors import run
from sgr.jobs.store import JobStore
from sgr.machine import Machine
from tests.scratch import ROOT
from tests.test_jobs_inspect import counting, eventually, start, states

pytestmark = pytest.mark.usefixtures("importable")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(jobs=tmp_path / "jobs")


def command(store: JobStore, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m sgr <arguments>` with this store."""
    return subprocess.run(
        [sys.executable, "-m", "sgr", *arguments],
        cwd=ROOT,
        env={**os.environ, "SGR_JOBS": str(store.root)},
        capture_output=True,
        text=True,
    )


def test_listed_and_cancelled(machine: Machine) -> None:
    store = machine.store
    run([counting("done")], machine)
    store.prepare(counting("unfinished"), {"executor": "local"})
    with start(machine, counting("running", 3, iterations=600, pause=0.1)) as process:
        eventually(lambda: states(store).get("running") == "running")
        listed = command(store, "jobs").stdout
        header, first, *_, last = listed.splitlines()
        assert header.split() == ["row", "kind", "seed", "state", "age", "id", "node", "log"]
        assert first.split()[:4] == ["running", "fake_jobs:count", "3", "running"]
        log = store.folder(counting("running", 3, iterations=600)) / "log.txt"
        assert f"pid {process.pid}" in first and str(log) in first
        assert last.endswith("1 running, 1 unfinished, 1 finished; make jobs ALL=1 lists finished ones too")
        assert "done" not in listed and "done " in command(store, "jobs", "--all").stdout
        done = command(store, "cancel", "running")
        assert f"sent SIGTERM to process {process.pid}" in done.stdout and done.returncode == 0
    assert process.returncode == -signal.SIGTERM
    again = command(store, "cancel", "running")
    assert (again.stdout, again.returncode) == ("running: nothing is queued or runs\n", 0)
    wrong = command(store, "cancel", "runing")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == (
        "error: runing: no job is of that row, the rows with jobs are done, running, unfinished\n"
    )


def test_clean_jobs_removes_on_demand_alone(machine: Machine) -> None:
    store = machine.store
    (folder,) = run([counting("gone")], machine)
    listed = command(store, "clean-jobs")
    assert listed.returncode == 0, listed.stderr
    assert "finished fake_jobs:count gone seed 0" in listed.stdout and str(folder) in listed.stdout
    assert "1 folders" in listed.stdout and folder.exists()
    removed = command(store, "clean-jobs", "--remove")
    assert "removed 1 folders" in removed.stdout and not folder.exists()
    assert command(store, "clean-jobs").stdout.endswith("nothing to remove\n")
