"""Our commands around DVC: two at once, without git, and in a folder of any name."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.scratch import ROOT, commit, environment, run

REPRO = (sys.executable, "-m", "sgr", "repro")
# root without what makes it differ from other users
AS_A_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]


def documented(fault: str, said: str, status: int | None, then: str = "") -> bool:
    """Whether this is a row of docs/faults.md; `said` and `then` are without the end of the line."""
    row = f"| {fault} | {said.strip() or 'nothing'} | {status} | "
    text = (ROOT / "docs" / "faults.md").read_text().partition("## On any machine")[2]
    return any(line.startswith(row) and then.strip() in line for line in text.splitlines())


def project(root: Path) -> Path:
    """A pipeline of one stage that waits for the file `gate`, and tells how often it ran."""
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    command = "echo >> ran; while [ ! -e gate ]; do sleep 0.1; done; echo done > out"
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": {"cmd": command, "outs": ["out"]}}}))
    return root


def start(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        REPRO,
        cwd=root,
        env=environment(root, PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def has_run(root: Path) -> int:
    return (root / "ran").read_text().count("\n") if (root / "ran").exists() else 0


def eventually_runs(root: Path) -> None:
    deadline = time.monotonic() + 120
    while not has_run(root):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("killed", [False, True])
def test_a_second_repro_waits_for_the_first(tmp_path: Path, killed: bool) -> None:
    """So it does for the DVC that a killed one has left."""
    root = project(tmp_path / "project")
    commit(root)
    first = start(root)
    eventually_runs(root)
    if killed:
        first.kill()
        first.wait()
    second = start(root)
    assert second.stderr is not None
    said = second.stderr.readline()
    (root / "gate").touch()
    told, _ = second.communicate(timeout=120)
    assert (root / "out").exists()
    fault = "SIGKILL of `python -m sgr repro`, but not of its DVC, and a second one"
    fault = fault if killed else "a second `python -m sgr repro` while one runs"
    assert documented(fault, said, second.returncode)
    if not killed:
        first.communicate(timeout=120)
        assert (first.returncode, has_run(root)) == (0, 1) and "didn't change" in told


@pytest.mark.parametrize("name", ["plain", 'it\'s a $HOME (copy) "é"'])
def test_without_git_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    root = project(tmp_path / name)
    (root / "gate").touch()
    for ran in ("Running", "didn't change"):
        done = run(root, *REPRO, PYTHONPATH=str(ROOT))
        assert ran in done.stdout
        assert documented("a folder without git, as a downloaded archive", done.stderr, done.returncode)
    assert (root / "dvc.lock").exists() and not (root / ".git").exists()


def test_a_project_of_another_user(tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    (root / "gate").touch()
    assert run(root, *REPRO, PYTHONPATH=str(ROOT)).returncode == 0
    lock = root / ".dvc" / "tmp" / "lock"
    lock.chmod(0o400)
    prefix = AS_A_USER if os.geteuid() == 0 else []
    refused = run(root, *prefix, *REPRO, PYTHONPATH=str(ROOT))
    said = refused.stderr.replace(f"{root}/", "")
    assert documented("a project of another user", said, refused.returncode), said
    lock.chmod(0o600)
    assert run(root, *prefix, *REPRO, PYTHONPATH=str(ROOT)).returncode == 0
