"""Jobs listed, cancelled and cleaned up: real processes, and a real SLURM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sgr.errors import UserError
from sgr.files import read_json, write_json
from sgr.jobs.cluster import Slurm
from sgr.jobs.inspect.cancel import cancel
from sgr.jobs.inspect.leftovers import leftovers, remove
from sgr.jobs.inspect.listing import jobs
from sgr.jobs.job import Job, canonical
from sgr.jobs.run.executors import run
from sgr.jobs.slurm import squeue
from sgr.jobs.slurm.check import check
from sgr.jobs.store import JobStore, complete
from sgr.machine import Machine
from tests.fake_jobs import COUNT, COUNTED, Count, Pause

pytestmark = pytest.mark.usefixtures("importable")


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "jobs")


@pytest.fixture
def cluster(store: JobStore) -> Iterator[Machine]:
    """A cluster of one node; what a test leaves in its queue is cancelled."""
    asked = Slurm(time=30, memory_gb=1, cpus=1, gpus_per_job=0)
    yield Machine(executor="slurm", jobs=store.root, slurm=asked)
    for job in jobs(store):
        if job.queued:
            subprocess.run(["scancel", job.queued.id], check=True)


def counting(row: str, seed: int = 0, iterations: int = 1, pause: float = 0.0) -> Job:
    return Job(COUNT, Count(iterations), seed, {"row": row}, where=Pause(pause), row=row)


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 60 s"
        time.sleep(0.05)


def start(cluster: Machine, *jobs: Job) -> subprocess.Popen[str]:
    """A stage in small, in a process of its own."""
    code = (
        "from sgr.machine import Machine; from sgr.jobs.run.executors import run;"
        "from sgr.jobs.job import Code, Job, Kind; from fake_jobs import *;"
        "from sgr.jobs.slurm import squeue; squeue.SLOWEST_POLL_SECONDS = 1;"
        f"run({list(jobs)!r}, Machine.model_validate_json({cluster.model_dump_json()!r}))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def states(store: JobStore) -> dict[str, str]:
    return {job.row: job.state for job in jobs(store)}


def test_every_state_is_told(store: JobStore) -> None:
    cluster = Machine(jobs=store.root)
    run([counting("done")], cluster)
    (folder,) = run([counting("damaged")], cluster)
    (folder / "weights.bin").write_bytes(b"")
    store.prepare(counting("unfinished"), {"executor": "local"})
    for row in ("failed", "lost"):
        write_json(store.prepare(counting(row), {"executor": "slurm"}) / "slurm.json", {"id": "5"})
    failed = {"sentence": None, "traceback": "ZeroDivisionError"}
    write_json(store.folder(counting("failed")) / "failed.json", failed)
    (store.root / ("0" * 32)).mkdir()
    write_json(store.root / ("0" * 32) / "job.json", {"kind": "of an earlier version"})
    with start(cluster, counting("running", 3, iterations=600, pause=0.1)) as process:
        eventually(lambda: states(store).get("running") == "running")
        assert states(store) == {
            **{state: state for state in ("running", "failed", "lost", "unfinished", "damaged")},
            "done": "finished",
        }
        first, *_, last = jobs(store)
        folder = store.folder(counting("running", 3, iterations=600))
        assert (first.row, first.kind, first.seed) == ("running", "fake_jobs:count", "3")
        assert (first.id, first.log) == (f"pid {process.pid}", folder / "log.txt")
        assert last.row == "done" and not last.id
        (told,) = cancel(store, "running")
        assert told.endswith(f"sent SIGTERM to process {process.pid}")
    assert process.returncode == -signal.SIGTERM
    assert states(store)["running"] == "unfinished"
    assert cancel(store, "running") == []


def test_unknown_row_is_one_sentence(store: JobStore) -> None:
    store.prepare(counting("camvid-fcn"), {"executor": "inline"})
    with pytest.raises(
        UserError, match=r"^camvid-fnc: no job is of that row, the rows with jobs are camvid-fcn$"
    ):
        cancel(store, "camvid-fnc")


@pytest.mark.slurm
def test_listed_and_cancelled_on_slurm(cluster: Machine, store: JobStore) -> None:
    sleeping = [counting("sleeping", seed, iterations=600, pause=0.1) for seed in (0, 1)]
    other = counting("other", iterations=600, pause=0.1)
    with start(cluster, *sleeping) as stage, start(cluster, other) as another:
        folders = [store.folder(job) for job in (*sleeping, other)]
        eventually(lambda: all((folder / "runs.txt").exists() for folder in folders))
        hostname = squeue.active(folders)[folders[0]].node
        for listed in jobs(store):
            identity = read_json(listed.folder / "slurm.json")["id"]
            assert (listed.state, listed.id, listed.node) == ("running", identity, hostname)
        cancelled = cancel(store, "sleeping")
        assert len(cancelled) == 2 and all("cancelled SLURM job" in line for line in cancelled)
        complaint = stage.communicate(timeout=60)[1]
        assert stage.returncode and "ended as CANCELLED" in complaint
        assert states(store) == {"sleeping": "lost", "other": "running"}
        another.send_signal(signal.SIGINT)
        assert another.wait(30) == 130
    assert len(cancel(store, "other")) == 1


@pytest.mark.slurm
def test_pending_job_tells_its_reason(cluster: Machine, store: JobStore) -> None:
    # `check` lets it through: the node has this many cores, but another job holds one
    most = int(squeue.ask("sinfo", "--noheader", "--format=%c").split()[0].rstrip("+"))
    everything = cluster.model_copy(update={"slurm": cluster.slurm.model_copy(update={"cpus": most})})
    check(everything)
    with start(cluster, counting("first", iterations=600, pause=0.1)) as first:
        eventually(lambda: states(store).get("first") == "running")
        with start(everything, counting("second")) as second:
            eventually(lambda: "pending (Resources)" in [job.shown_state for job in jobs(store)])
            (cancelled,) = cancel(store, "second")
            assert "cancelled SLURM job" in cancelled and "pending (Resources)" in cancelled
            assert second.wait(60)
        assert len(cancel(store, "first")) == 1
        assert first.wait(60)


def referring_to(*referred: Job) -> Callable[[Job], bool]:
    """Whether a job is one of these, whatever its code and inputs are by now."""
    known = {(job.kind.name, job.row, canonical(job.settings), job.seed) for job in referred}
    return lambda job: (job.kind.name, job.row, canonical(job.settings), job.seed) in known


def old(path: Path) -> None:
    for found in [path, *path.rglob("*")]:
        os.utime(found, (time.time() - 86400,) * 2)


def test_leftovers_are_what_nothing_refers_to(store: JobStore) -> None:
    cluster = Machine(executor="local", jobs=store.root)
    kept, kept_too, dropped, other_seed = (
        *(counting("kept"), counting("kept", 1)),
        *(counting("dropped"), counting("kept", 2)),
    )
    refers_to = referring_to(kept, kept_too)
    run([kept, kept_too, dropped, other_seed], cluster)
    for name in ("0" * 32, ".removed-" + "1" * 32, "code/feed"):
        (store.root / name).mkdir(parents=True)
    assert {found.folder.name for found in leftovers(store, refers_to)} == {dropped.key, other_seed.key}
    for name in ("0" * 32, ".removed-" + "1" * 32, "code/feed"):
        old(store.root / name)
    found = leftovers(store, refers_to)
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
    assert leftovers(store, refers_to) == []
    assert all(store.finished(job) for job in (kept, kept_too)) and not store.folder(dropped).exists()


@pytest.mark.parametrize("adopted", [False, True])
def test_running_job_and_its_training_are_no_leftovers(store: JobStore, adopted: bool) -> None:
    training = counting("old")
    run([training], Machine(jobs=store.root))
    if adopted:
        write_json(store.folder(training) / "provenance.json", {"adopted": {"origin": "feed" * 8}})
        complete(store.folder(training), COUNTED)
    evaluation = Job(COUNT, Count(600), 0, {"trained": store.identity(training)}, where=Pause(0.1))
    (found,) = leftovers(store, referring_to())
    with start(Machine(jobs=store.root), evaluation) as process:
        eventually(lambda: (store.folder(evaluation) / "runs.txt").exists())
        assert leftovers(store, referring_to()) == []
        process.kill()
    assert len(leftovers(store, referring_to())) == 2
    with start(Machine(jobs=store.root), counting("old", iterations=600, pause=0.1)) as process:
        running = found._replace(folder=store.folder(counting("old", iterations=600)))
        eventually(lambda: (running.folder / "runs.txt").exists())
        assert not remove(running) and running.folder.exists()
        process.kill()
