"""The commands that list, cancel and clean up jobs: real processes, and a real SLURM."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sgr.files import read_json, write_json
from sgr.jobs.cluster import Cluster, Slurm
from sgr.jobs.inspect.leftovers import leftovers, remove
from sgr.jobs.inspect.listing import jobs
from sgr.jobs.run.executors import run
from sgr.jobs.slurm import squeue
from sgr.jobs.slurm.check import check
from sgr.jobs.snapshot import PACKAGE
from sgr.jobs.store import Job, JobStore

TESTS = Path(__file__).parent
ROOT = TESTS.parent


def with_slurm(test: Callable[..., None]) -> Callable[..., None]:
    absent = shutil.which("sbatch") is None
    skipped = pytest.mark.skipif(absent, reason="no sbatch on PATH: run tests/slurm/up.sh")
    return pytest.mark.slurm(skipped(test))


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TESTS))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(PACKAGE.parent)]))


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "jobs")


@pytest.fixture
def slurm(store: JobStore) -> Iterator[Cluster]:
    """A cluster of one node; what a test leaves in its queue is cancelled."""
    if subprocess.run(["sinfo"], capture_output=True).returncode:
        subprocess.run(["bash", str(TESTS / "slurm" / "up.sh")], check=True)
    asked = Slurm(time=30, memory_gb=1, cpus=1, gpus_per_job=0)
    yield Cluster(executor="slurm", jobs=store.root, slurm=asked)
    for job in jobs(store):
        if job.queued:
            subprocess.run(["scancel", job.queued.id], check=True)


def counting(row: str, seed: int = 0, iterations: int = 1, pause: float = 0.0) -> Job:
    spec = {"plan": {"row": row}, "seed": seed, "iterations": iterations}
    return Job("fake_jobs:count", spec, {"pause": pause})


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 60 s"
        time.sleep(0.05)


def command(store: JobStore, *arguments: str) -> subprocess.CompletedProcess[str]:
    name, *rest = arguments
    return subprocess.run(
        [sys.executable, "-m", f"stages.{name}", *rest],
        cwd=ROOT,
        env={**os.environ, "SGR_JOBS": str(store.root)},
        capture_output=True,
        text=True,
    )


def start(cluster: Cluster, *jobs: Job) -> subprocess.Popen[str]:
    """A stage in small, in a process of its own."""
    made = ", ".join(f"Job({job.kind!r}, {job.spec!r}, {job.where!r})" for job in jobs)
    code = (
        "from sgr.jobs.cluster import Cluster; from sgr.jobs.run.executors import run;"
        "from sgr.jobs.store import Job;"
        f"run([{made}], Cluster.model_validate_json({cluster.model_dump_json()!r}))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def states(store: JobStore) -> dict[str, str]:
    return {job.row: job.state for job in jobs(store)}


def test_every_state_is_told(store: JobStore) -> None:
    cluster = Cluster(jobs=store.root)
    run([counting("done")], cluster)
    (folder,) = run([counting("damaged")], cluster)
    (folder / "weights.bin").write_bytes(b"")
    store.prepare(counting("unfinished"), {"executor": "local"})
    for row in ("failed", "lost"):
        write_json(store.prepare(counting(row), {"executor": "slurm"}) / "slurm.json", {"id": "5"})
    failed = {"sentence": None, "traceback": "ZeroDivisionError"}
    write_json(store.folder(counting("failed")) / "failed.json", failed)
    with start(cluster, counting("running", 3, iterations=600, pause=0.1)) as process:
        eventually(lambda: states(store).get("running") == "running")
        assert states(store) == {
            **{state: state for state in ("running", "failed", "lost", "unfinished", "damaged")},
            "done": "finished",
        }
        listed = command(store, "jobs")
        header, first, *_, last = listed.stdout.splitlines()
        assert header.split() == ["row", "kind", "seed", "state", "age", "id", "node", "log"]
        folder = store.folder(counting("running", 3, iterations=600))
        assert first.split()[:4] == ["running", "fake_jobs:count", "3", "running"]
        assert f"pid {process.pid}" in first and str(folder / "log.txt") in first
        assert last.endswith(
            "1 running, 1 failed, 1 lost, 1 unfinished, 1 damaged, 1 finished; "
            "make jobs ALL=1 lists finished ones too"
        )
        assert "done" not in listed.stdout and "done " in command(store, "jobs", "--all").stdout
        done = command(store, "cancel", "running")
        assert f"sent SIGTERM to process {process.pid}" in done.stdout and done.returncode == 0
    assert process.returncode == -signal.SIGTERM
    assert states(store)["running"] == "unfinished"
    again = command(store, "cancel", "running")
    assert (again.stdout, again.returncode) == ("running: nothing is queued or runs\n", 0)


def test_unknown_row_is_one_sentence(store: JobStore) -> None:
    store.prepare(counting("camvid-fcn"), {"executor": "inline"})
    done = command(store, "cancel", "camvid-fnc")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: ROW=camvid-fnc: no job is of that row, the rows with jobs are camvid-fcn\n"
    )


@with_slurm
def test_listed_and_cancelled_on_slurm(slurm: Cluster, store: JobStore) -> None:
    sleeping = [counting("sleeping", seed, iterations=600, pause=0.1) for seed in (0, 1)]
    other = counting("other", iterations=600, pause=0.1)
    with start(slurm, *sleeping) as stage, start(slurm, other) as another:
        folders = [store.folder(job) for job in (*sleeping, other)]
        eventually(lambda: all((folder / "runs.txt").exists() for folder in folders))
        hostname = squeue.active(folders)[folders[0]].node
        listed = command(store, "jobs").stdout
        for folder in folders:
            line = next(line for line in listed.splitlines() if folder.name in line)
            assert "running" in line and read_json(folder / "slurm.json")["id"] in line and hostname in line
        cancelled = command(store, "cancel", "sleeping").stdout.splitlines()
        assert len(cancelled) == 2 and all("cancelled SLURM job" in line for line in cancelled)
        complaint = stage.communicate(timeout=60)[1]
        assert stage.returncode and "ended as CANCELLED" in complaint
        assert states(store) == {"sleeping": "lost", "other": "running"}
        another.send_signal(signal.SIGINT)
        assert another.wait(30) == 130
    assert command(store, "cancel", "other").returncode == 0


@with_slurm
def test_pending_job_tells_its_reason(slurm: Cluster, store: JobStore) -> None:
    # `check` lets it through: the node has this many cores, but another job holds one
    most = int(squeue.ask("sinfo", "--noheader", "--format=%c").split()[0].rstrip("+"))
    everything = slurm.model_copy(update={"slurm": slurm.slurm.model_copy(update={"cpus": most})})
    check(everything)
    with start(slurm, counting("first", iterations=600, pause=0.1)) as first:
        eventually(lambda: states(store).get("first") == "running")
        with start(everything, counting("second")) as second:
            eventually(lambda: "pending (Resources)" in [job.shown_state for job in jobs(store)])
            assert command(store, "jobs").stdout.endswith("1 running, 1 pending\n")
            cancelled = command(store, "cancel", "second").stdout
            assert "cancelled SLURM job" in cancelled and "pending (Resources)" in cancelled
            assert second.wait(60)
        assert command(store, "cancel", "first").returncode == 0
        assert first.wait(60)


def plan(row: str, **settings: int) -> dict[str, object]:
    return {"row": row, "seeds": [0, 1], "weights": "resnet101", **settings}


def old(path: Path) -> None:
    for found in [path, *path.rglob("*")]:
        os.utime(found, (time.time() - 86400,) * 2)


def test_leftovers_are_what_no_plan_refers_to(store: JobStore) -> None:
    cluster = Cluster(executor="local", jobs=store.root)
    kept, kept_too, dropped, other_seed = (
        *(counting("kept"), counting("kept", 1)),
        *(counting("dropped"), counting("kept", 2)),
    )
    run([kept, kept_too, dropped, other_seed], cluster)
    for name in ("0" * 32, ".removed-" + "1" * 32, "code/feed"):
        (store.root / name).mkdir(parents=True)
    assert {found.folder.name for found in leftovers(store, [plan("kept")])} == {dropped.key, other_seed.key}
    for name in ("0" * 32, ".removed-" + "1" * 32, "code/feed"):
        old(store.root / name)
    found = leftovers(store, [plan("kept")])
    assert {leftover.folder.name: leftover.what for leftover in found} == {
        dropped.key: "finished fake_jobs:count dropped seed 0",
        other_seed.key: "finished fake_jobs:count kept seed 2",
        "0" * 32: "no job",
        ".removed-" + "1" * 32: "no job",
        "feed": "code snapshot",
    }
    weights = store.folder(dropped) / "weights.bin"
    assert (
        next(leftover for leftover in found if leftover.folder == weights.parent).bytes
        > weights.stat().st_size
    )
    assert all(remove(leftover) for leftover in found)
    assert leftovers(store, [plan("kept")]) == []
    assert all(store.finished(job) for job in (kept, kept_too)) and not store.folder(dropped).exists()


def test_pairs_of_a_sweep_are_referred_to(store: JobStore) -> None:
    run([counting("kept")], Cluster(jobs=store.root))
    sweep = {"row": "kept", "pairs": [{"train": plan("kept"), "evaluate": plan("kept", splits=1)}]}
    assert leftovers(store, [sweep]) == [] and len(leftovers(store, [plan("other")])) == 1


def test_running_job_and_its_training_are_no_leftovers(store: JobStore) -> None:
    training = counting("old")
    evaluation = Job(
        "fake_jobs:count", {"iterations": 600, "seed": 0, "trained": training.key}, {"pause": 0.1}
    )
    run([training], Cluster(jobs=store.root))
    (found,) = leftovers(store, [])
    with start(Cluster(jobs=store.root), evaluation) as process:
        eventually(lambda: (store.folder(evaluation) / "runs.txt").exists())
        assert leftovers(store, []) == []
        process.kill()
    assert len(leftovers(store, [])) == 2
    with start(Cluster(jobs=store.root), counting("old", iterations=600, pause=0.1)) as process:
        running = found._replace(folder=store.folder(counting("old", iterations=600)))
        eventually(lambda: (running.folder / "runs.txt").exists())
        assert not remove(running) and running.folder.exists()
        process.kill()


def test_clean_jobs_removes_on_demand_alone(store: JobStore) -> None:
    run([counting("gone")], Cluster(jobs=store.root))
    folder = store.folder(counting("gone"))
    listed = command(store, "clean_jobs")
    assert listed.returncode == 0, listed.stderr
    assert "finished fake_jobs:count gone seed 0" in listed.stdout and str(folder) in listed.stdout
    assert "1 folders" in listed.stdout and "YES=1" in listed.stdout and folder.exists()
    removed = command(store, "clean_jobs", "--remove")
    assert "removed 1 folders" in removed.stdout and not folder.exists()
    assert command(store, "clean_jobs").stdout.endswith("nothing to remove\n")
