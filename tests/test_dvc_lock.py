"""dvc.lock, which DVC rewrites in place: killed in the writing, cut at any byte, and changed by its user."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from dvc.repo import Repo

from sgr.cli.dvc_lock import keep, mend
from tests.scratch import ROOT, commit, copy_checkout, environment, files_under, run, stage
from tests.test_dvc import documented

PARTS, STAGES = 60, 3
CUT = "dvc.lock was cut when DVC was killed: "
RESTORED = f"{CUT}restored from .dvc/tmp/locks/dvc.lock.whole\n"
RUNS_AGAIN = f"{CUT}what it lacks runs again\n"
DVC, OURS = ("dvc", "repro"), (sys.executable, "-m", "sgr", "repro")

LOCK = """schema: '2.0'
stages:
  train@mini:
    cmd: python -m stages.train mini camvid-fcn
    deps:
    - path: work/mini/data/camvid.json
      hash: md5
      md5: 575144456d2d2d8cd4f2626e8b957a87
      size: 29921
    outs:
    - path: results/mini/curves/camvid/camvid-fcn.csv
      hash: md5
      md5: abfd8d8b96d34995909ad3b7afaccecd
      size: 488
    - path: work/mini/train/camvid-fcn
      hash: md5
      md5: f6368a25db37208b2a83584b2a5332e2.dir
      size: 3234083
      nfiles: 4
  evaluate@mini:
    cmd: python -m stages.evaluate mini camvid-fcn
    outs:
    - path: results/mini/camvid/camvid-fcn.json
      hash: md5
      md5: 17906e92f06c5ce6d012c00a37f677bd
      size: 1887
    - path: work/mini/evaluate/camvid-fcn
      hash: md5
      md5: b86ab738e035a8360c36ea3ff4d5f6cc.dir
      size: 1657
      nfiles: 1
"""
FIRST_STAGE = LOCK[: LOCK.index("  evaluate@")]
# Where every file is whole, but a stage lacks an output or is missing.
BETWEEN_FILES = {match.end() for match in re.finditer(r"size: (488|1887)\n|nfiles: 4\n", LOCK)}


def pipeline(root: Path) -> Path:
    """A project whose lock takes DVC long to write: stages behind one another, each of many files."""
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (root / "parts").mkdir()
    parts = [f"parts/{part}" for part in range(PARTS)]
    for part in parts:
        (root / part).write_text(f"{part}\n")
    stages = {}
    for number in range(STAGES):
        read = ["value", *([f"out/{number - 1}"] if number else []), *parts]
        one, twice = f"out/{number}", f"out/{number}.twice"
        command = f"mkdir -p out; cat {' '.join(read)} > {one}; cat {one} {one} > {twice}"
        stages[f"s{number}"] = {"cmd": command, "deps": read, "outs": [one, twice]}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (root / "value").write_text("one")
    return root


def results(root: Path) -> dict[str, bytes]:
    """The lock and the outputs."""
    return files_under(root, ("dvc.lock",)) | files_under(root / "out")


class Undisturbed(NamedTuple):
    """A project in which all ran with the value `one`, and its results with this and another."""

    root: Path
    one: dict[str, bytes]
    two: dict[str, bytes]

    def copy(self, root: Path) -> Path:
        """A copy of the project, whose lock is kept and in which all must run anew."""
        shutil.copytree(self.root, root)
        keep(root)
        (root / "value").write_text("two")
        return root


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    root, other = pipeline(folder / "one"), pipeline(folder / "two")
    (other / "value").write_text("two")
    for each in (root, other):
        assert run(each, *DVC).returncode == 0
    return Undisturbed(root, results(root), results(other))


@contextmanager
def started(root: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command as the first process of a session, all of which is killed when the block ends."""
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
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def kill_in_the_writing(root: Path, entry: int) -> int | None:
    """Kill a plain `dvc repro` while it writes the lock with its so many-th new entry, counted from 1; its status."""
    lock, before = root / "dvc.lock", 1
    with started(root, *DVC) as process:
        while entry:
            assert process.poll() is None, "DVC has ended"
            size = lock.stat().st_size if lock.exists() else before
            entry -= size < before
            before = size
    return process.returncode


def again(root: Path) -> str:
    """Run our command to a good end; what it says of locks."""
    done = run(root, *OURS, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    return "".join(line for line in done.stderr.splitlines(keepends=True) if "dvc.lock" in line)


@pytest.mark.parametrize("entry", [1, STAGES])
def test_killed_in_the_first_writing(tmp_path: Path, undisturbed: Undisturbed, entry: int) -> None:
    root = pipeline(tmp_path / "project")
    status = kill_in_the_writing(root, entry)
    assert run(root, *DVC).returncode == 255
    assert again(root) == RUNS_AGAIN
    assert documented("the same before a copy was kept", "", status, RUNS_AGAIN)
    assert results(root) == undisturbed.one


@pytest.mark.parametrize("entry", [1, STAGES])
def test_killed_in_a_later_writing(tmp_path: Path, undisturbed: Undisturbed, entry: int) -> None:
    root = undisturbed.copy(tmp_path / "project")
    status = kill_in_the_writing(root, entry)
    assert again(root) == RESTORED
    fault = "SIGKILL of a plain `dvc repro` in the writing of dvc.lock"
    assert documented(fault, "", status, RESTORED)
    assert results(root) == undisturbed.two


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment(tmp_path: Path, undisturbed: Undisturbed, seed: int) -> None:
    root = undisturbed.copy(tmp_path / "project")
    with started(root, *DVC):
        time.sleep(random.Random(seed).uniform(0.5, 3))
    assert again(root) in ("", RESTORED)
    assert results(root) == undisturbed.two


def test_our_command_never_cuts_a_lock(tmp_path: Path, undisturbed: Undisturbed) -> None:
    root = undisturbed.copy(tmp_path / "project")
    with started(root, *OURS) as process:
        while not list(root.glob(".dvc.lock.*.aside")):
            assert process.poll() is None, "DVC has ended"
    assert again(root) == ""
    fault = "SIGKILL of `python -m sgr repro` and its DVC in the writing of dvc.lock"
    assert documented(fault, "", process.returncode)
    assert results(root) == undisturbed.two


def test_what_passes_for_whole_runs_again(tmp_path: Path, undisturbed: Undisturbed) -> None:
    """Where a lock of other entries than the copy's is cut between two files, it may pass for whole."""
    root, lock = undisturbed.copy(tmp_path / "project"), undisturbed.two["dvc.lock"]
    last = lock.index(b"    - path: out/2.twice")
    (root / "dvc.lock").write_bytes(lock[:last])
    assert again(root) == ""
    assert results(root) == undisturbed.two


def test_killed_before_the_run_is_recorded(tmp_path: Path, undisturbed: Undisturbed) -> None:
    """DVC makes a folder in its cache of runs, then a file in it; it fails on the folder alone."""
    root = undisturbed.copy(tmp_path / "project")
    (root / "value").write_text("one")
    (root / "dvc.lock").unlink()
    for record in (root / ".dvc" / "cache" / "runs").glob("*/*/*"):
        record.unlink()
    refused = run(root, *DVC)
    fault = "SIGKILL of `dvc repro` just before it records a run, then a plain one"
    assert documented(fault, refused.stderr, refused.returncode)
    assert again(root) == ""
    assert results(root) == undisturbed.one


def test_a_lock_that_is_being_written_is_let_be(tmp_path: Path) -> None:
    root = pipeline(tmp_path / "project")
    assert again(root) == ""
    whole = (root / "dvc.lock").read_bytes()
    with Repo(root) as repo, repo.lock, started(root, *OURS) as process:
        (root / "dvc.lock").write_bytes(whole[:1000])
        time.sleep(3)
        assert process.poll() is None and (root / "dvc.lock").read_bytes() == whole[:1000]
        (root / "dvc.lock").write_bytes(whole)
    assert again(root) == ""


# Locks without a DVC that runs.


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository of git whose lock is whole, committed and kept; its parent commit has its first stage alone."""
    (tmp_path / ".gitignore").write_text("/.dvc/\n")
    (tmp_path / "dvc.lock").write_text(FIRST_STAGE)
    commit(tmp_path)
    (tmp_path / "dvc.lock").write_text(LOCK)
    git(tmp_path, "commit", "--quiet", "--all", "--message=Evaluated")
    keep(tmp_path)
    return tmp_path


def git(root: Path, *arguments: str) -> None:
    assert run(root, "git", *arguments).returncode == 0


def mended(root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    mend(root)
    return capsys.readouterr().err


def test_cut_at_any_byte(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for size in range(0, len(LOCK), 5):
        (project / "dvc.lock").write_text(LOCK[:size])
        assert mended(project, capsys) == RESTORED, size
        assert (project / "dvc.lock").read_text() == LOCK


def test_cut_at_any_byte_of_new_entries(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new, passed = LOCK.replace("md5: 57", "md5: 75"), set()
    for size in range(LOCK.index("md5: 57") + 6, len(new)):
        (project / "dvc.lock").write_text(new[:size])
        if mended(project, capsys) == "":
            passed.add(size)
            (project / ".dvc/tmp/locks/dvc.lock.whole").write_text(LOCK)
        else:
            assert (project / "dvc.lock").read_text() == LOCK
    assert passed == BETWEEN_FILES


def test_cut_without_a_copy(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".dvc/tmp/locks/dvc.lock.whole").unlink()
    (project / "dvc.lock").write_text(LOCK[:-5])
    assert mended(project, capsys) == RUNS_AGAIN
    assert (project / "dvc.lock").read_text() == FIRST_STAGE
    (project / ".dvc/tmp/locks/dvc.lock.whole").unlink()
    (project / "dvc.lock").write_text("")
    assert mended(project, capsys) == RUNS_AGAIN
    assert not (project / "dvc.lock").exists()


def test_what_its_user_did_to_a_lock_stays(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = project / "dvc.lock"
    git(project, "checkout", "--quiet", "HEAD~1")
    assert mended(project, capsys) == "" and lock.read_text() == FIRST_STAGE
    git(project, "checkout", "--quiet", "main")
    keep(project)
    edited = LOCK.replace("size: 488", "size: 489")
    conflict = LOCK.replace(
        "      size: 1887", "<<<<<<< HEAD\n      size: 1887\n=======\n      size: 1\n>>>>>>> other"
    )
    other_stage = FIRST_STAGE.replace("train@mini", "train@small")
    for text in (edited, other_stage, conflict):
        lock.write_text(text)
        assert mended(project, capsys) == "" and lock.read_text() == text
    lock.unlink()
    assert mended(project, capsys) == "" and not lock.exists()
    # a run that begins anew writes what the copy begins with
    lock.write_text(FIRST_STAGE)
    assert mended(project, capsys) == "" and lock.read_text() == FIRST_STAGE


@pytest.mark.parametrize("cut", ["", '{"write": {"/out'])
def test_a_cut_list_of_files_in_use_goes(project: Path, cut: str) -> None:
    in_use = project / ".dvc" / "tmp" / "rwlock"
    in_use.write_text(cut)
    mend(project)
    assert not in_use.exists()
    in_use.write_text("{}")
    mend(project)
    assert in_use.exists()


def test_a_stage_keeps_copies(tmp_path: Path) -> None:
    root = copy_checkout(tmp_path / "copy")
    commit(root)
    for lock in ("dvc.lock", "stages/camvid/camvid-fcn/dvc.lock"):
        (root / lock).write_text(LOCK)
    assert stage(root, "plan").returncode == 0
    kept = root / ".dvc" / "tmp" / "locks"
    assert {path.name for path in kept.iterdir()} == {
        "dvc.lock.whole",
        "stages%camvid%camvid-fcn%dvc.lock.whole",
    }
    assert {path.read_text() for path in kept.iterdir()} == {LOCK}
