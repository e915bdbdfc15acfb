"""What a session of tests starts does not outlive it, whatever ends it: sessions of their own, ended for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.scratch import ROOT

# what it starts is a daemon: in a session of its own, its parent dead
SESSION = """
import subprocess, time

def test_starts_a_daemon():
    subprocess.run(["bash", "-c", "setsid sleep 299 & echo $! >pid"], check=True)
    time.sleep({seconds})
"""


def start(folder: Path, seconds: float, *arguments: str) -> subprocess.Popen[str]:
    """A session whose one test starts a daemon, then sleeps; without a time to do so it passes."""
    (folder / "test_it.py").write_text(SESSION.format(seconds=seconds))
    (folder / "pytest.ini").touch()
    code = "import sys, pytest; from tests import guard; guard.GRACE_SECONDS = 1; sys.exit(pytest.main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def daemon(folder: Path) -> psutil.Process:
    deadline = time.monotonic() + 30
    while not (folder / "pid").exists() or not (folder / "pid").read_text():
        assert time.monotonic() < deadline, "the session starts no daemon"
        time.sleep(0.02)
    return psutil.Process(int((folder / "pid").read_text()))


def test_what_is_left_fails_the_session_by_name_and_is_ended(tmp_path: Path) -> None:
    session = start(tmp_path, 0, "-p", "tests.guard")
    output = session.communicate(timeout=60)[0]
    assert session.returncode == 1 and "1 passed" in output
    assert "left behind by the tests" in output and "sleep 299" in output
    assert ended(int((tmp_path / "pid").read_text()))


def ended(pid: int) -> bool:
    """Whether a process has ended, though perhaps nobody has waited for it yet."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("workers", [[], ["--numprocesses=2"]], ids=["alone", "xdist"])
def test_nothing_outlives_a_session_that_a_signal_ends(
    tmp_path: Path, number: signal.Signals, workers: list[str]
) -> None:
    session = start(tmp_path, 300, "-p", "tests.guard", *workers)
    left = [daemon(tmp_path), *psutil.Process(session.pid).children(recursive=True)]
    session.send_signal(number)
    session.wait(60)
    deadline = time.monotonic() + 60
    while not all(ended(process.pid) for process in left):
        assert time.monotonic() < deadline, f"{left} live on"
        time.sleep(0.05)
