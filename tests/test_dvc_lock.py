"""dvc.lock, which DVC rewrites in place: killed in the writing, cut at any byte, and changed by its user."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from sgr.cli import dvc_lock
from sgr.files import write_json
from tests.scratch import ROOT, commit, copy_checkout, environment, files_under, run, stage

PARTS, STAGES = 60, 4
RESTORED = "dvc.lock was cut when DVC was killed: restored from .dvc/tmp/whole-locks/dvc.lock\n"
RUNS_AGAIN = "dvc.lock was cut when DVC was killed: what it lacks runs again\n"
DVC, OURS = ("dvc", "repro"), (sys.executable, "-m", "sgr", "repro")
SEED = 7

Began = subprocess.Popen[bytes]


def pipeline(root: Path) -> Path:
    """A project whose lock takes long to write: stages behind one another, each of many files."""
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    stages = {}
    for number in range(STAGES):
        before = [f"out/{number - 1}"] if number else [f"parts/{part}" for part in range(PARTS)]
        made = [f"out/{number}", f"out/{number}.twice"]
        for part in before:
            (root / part).parent.mkdir(exist_ok=True)
        command = f"mkdir -p out; cat {' '.join(before)} params > {made[0]}; cat {made[0]} {made[0]} > {made[1]}"
        parts = [f"parts/{part}" for part in range(PARTS)]
        stages[f"s{number}"] = {"cmd": command, "deps": sorted({*before, *parts, "params"}), "outs": made}
    for part in range(PARTS):
        (root / "parts" / str(part)).write_text(f"{part}\n")
    (root / "params").write_text("first\n")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    return root


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The lock and outputs of a run that nothing disturbs."""
    root = pipeline(tmp_path_factory.mktemp("undisturbed") / "project")
    assert run(root, *DVC).returncode == 0
    return results(root)


def results(root: Path) -> dict[str, bytes]:
    return files_under(root, ("dvc.lock",)) | files_under(root / "out")


@contextmanager
def started(root: Path, *command: str) -> Iterator[Began]:
    """A command in a session of its own; killed with all it started when the block ends."""
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment(root, PYTHONPATH=str(ROOT)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def kill_in_the_writing(root: Path, process: Began, stages: int) -> None:
    """Wait until DVC has cut the lock, to write one of so many `stages`; then kill it there."""
    lock = root / "dvc.lock"
    while process.poll() is None:
        text = dvc_lock._read(lock)
        if text is not None and text.count(b"\n    cmd:") >= stages and dvc_lock._is_whole(text):
            break
    before = lock.stat().st_size if stages else 1
    while process.poll() is None:
        if lock.exists() and lock.stat().st_size < before:
            return
    raise AssertionError("DVC has ended")


def again(root: Path) -> str:
    """Run our command once more, to a good end; what it said of locks."""
    done = run(root, *OURS, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    return "".join(line for line in done.stderr.splitlines(keepends=True) if "dvc.lock" in line)


@pytest.mark.parametrize("stages", range(STAGES))
def test_killed_in_the_writing(tmp_path: Path, undisturbed: dict[str, bytes], stages: int) -> None:
    root = pipeline(tmp_path / "project")
    with started(root, *DVC) as process:
        kill_in_the_writing(root, process, stages)
    assert not dvc_lock._is_whole((root / "dvc.lock").read_bytes())
    assert run(root, *DVC).returncode == 255
    # no stage of this pipeline keeps copies
    assert again(root) == RUNS_AGAIN
    assert results(root) == undisturbed
