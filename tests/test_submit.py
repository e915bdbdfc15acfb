"""Submit or attach: every stale job at once and none twice, whatever dies meanwhile; the code as submitted."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sgr.errors import UserError
from sgr.files import read_json, write_json
from sgr.jobs.cluster import Slurm
from sgr.jobs.job import Code, Job
from sgr.jobs.run import executors
from sgr.jobs.slurm import squeue
from sgr.jobs.slurm.arrays import Array, arrays, most_awaited_first
from sgr.jobs.slurm.submit import Submission, submit
from sgr.jobs.store import JobStore
from sgr.kinds import EVALUATE, SEMANTICS, TRAIN
from sgr.machine import Machine
from sgr.project import PROJECT
from tests.fake_jobs import COUNT, FAIL, SURROUNDINGS, Count, Pause
from tests.scratch import ROOT

pytestmark = pytest.mark.usefixtures("importable")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(squeue, "SLOWEST_POLL_SECONDS", 1)
    asked = Slurm(time=30, memory_gb=1, cpus=1, gpus_per_job=0)
    return Machine(executor="slurm", jobs=tmp_path / "jobs", slurm=asked)


def counting(seed: int, iterations: int = 3, pause: float = 0, **more: Any) -> Job:
    return Job(COUNT, Count(iterations), seed, where=Pause(pause), **more)


def rows(n: int, pause: float = 0) -> list[Job]:
    """`n` trainings and for each what starts from it."""
    trainings = [counting(seed, pause=pause) for seed in range(n)]
    return [*trainings, *(counting(100 + (job.seed or 0), 1, after=(job,)) for job in trainings)]


def eventually(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened for {seconds} s"
        time.sleep(0.05)


def runs(cluster: Machine, job: Job) -> int:
    path = cluster.jobs / job.key / "runs.txt"
    return len(path.read_text().splitlines()) if path.exists() else 0


def finished(cluster: Machine, job: Job) -> str:
    return str(read_json(cluster.jobs / job.key / "provenance.json")["finished"])


def launch(expression: str, cluster: Machine, **variables: str) -> subprocess.Popen[str]:
    """A process that evaluates `expression`, in which `rows`, `counting` and `cluster` are known."""
    code = (
        "from tests.test_submit import *; import sgr.jobs.run.executors as executors;"
        f"cluster = Machine.model_validate_json({cluster.model_dump_json()!r}); print({expression})"
    )
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)])
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slurm
def test_ranks_that_cannot_share_a_batch_are_refused_before_anything_is_submitted(cluster: Machine) -> None:
    job = Job(TRAIN, {"loop": {"batch_size": 8, "accumulate": 2}}, 0)
    three = cluster.slurm.model_copy(update={"processes": 3})
    with pytest.raises(UserError, match="batch_size = 8 must be a multiple of ranks x accumulate = 3 x 2"):
        submit([job], cluster.model_copy(update={"slurm": three}))
    assert not (cluster.jobs / job.key / "slurm.json").exists()


def test_arrays_match_index_by_index_where_they_can() -> None:
    train = [Job(TRAIN, {}, seed) for seed in range(4)]
    evaluate = [Job(EVALUATE, {}, job.seed, after=(job,)) for job in train]
    semantics = [Job(SEMANTICS, {}, job.seed, after=(job,)) for job in train[1::2]]
    first = most_awaited_first(train, [*evaluate, *semantics])
    assert first == [train[1], train[3], train[0], train[2]]
    assert list(arrays(first, {})) == [Array(first, None)]
    ids = {job.key: f"7_{index}" for index, job in enumerate(first)}
    assert list(arrays([*evaluate, *semantics], ids)) == [
        Array([evaluate[1], evaluate[3], evaluate[0], evaluate[2]], "aftercorr:7"),
        Array(semantics, "aftercorr:7"),
    ]
    # a training that has finished, one of an earlier day, and a part that does not begin an array
    del ids[train[1].key]
    ids[train[0].key] = "5"
    assert list(arrays(evaluate, ids)) == [
        Array([evaluate[1]], None),
        Array([evaluate[0]], "afterok:5"),
        Array([evaluate[3]], "afterok:7_1"),
        Array([evaluate[2]], "afterok:7_3"),
    ]
    threads = [Job(TRAIN, {}, number, threads=number) for number in (1, 4, 1)]
    assert [len(array.jobs) for array in arrays(threads, {})] == [2, 1]


@pytest.mark.slurm
def test_everything_is_queued_at_once_and_waits_for_its_own_training(cluster: Machine) -> None:
    jobs = rows(8, pause=0.3)
    made = submit(jobs, cluster.model_copy(update={"max_jobs": 5}))
    assert {state for state, _ in made} == {"submitted"}
    (training,), (evaluation,) = (
        {str(identity).partition("_")[0] for _, identity in part} for part in (made[:8], made[8:])
    )
    queued = squeue.active(cluster.jobs / job.key for job in jobs)
    assert [queued[cluster.jobs / job.key].id for job in jobs] == [identity for _, identity in made]
    shown = squeue.ask("scontrol", "show", "job", "--oneliner", training)
    assert "ArrayTaskThrottle=5" in shown
    assert "aftercorr" in squeue.ask("scontrol", "show", "job", "--oneliner", evaluation)
    assert submit(jobs, cluster) == [Submission("attached", identity) for _, identity in made]
    executors.run(jobs, cluster)
    for job in jobs[8:]:
        assert finished(cluster, job) >= finished(cluster, job.after[0])
    assert [runs(cluster, job) for job in jobs] == [1] * 16
    assert set(submit(jobs, cluster)) == {Submission("finished", None)}
    record = read_json(cluster.jobs / jobs[3].key / "provenance.json")
    assert record["slurm_job"] == made[3].id


@pytest.mark.slurm
def test_a_failed_training_cancels_what_waits_for_it_and_nothing_else(cluster: Machine) -> None:
    failing = Job(FAIL, {"n": 1})
    mended = Job(FAIL, {"n": 2}, where={"mended": True})
    behind = [counting(1, 1, after=(failing,)), counting(2, 1, after=(mended,))]
    _, _, (_, identity), _ = submit([failing, mended, *behind], cluster)
    executors.run([mended, behind[1]], cluster)
    folder = cluster.jobs / behind[0].key
    eventually(lambda: folder not in squeue.active([folder]))
    assert identity and not runs(cluster, behind[0])


@pytest.mark.slurm
def test_two_submitters_submit_a_job_once(cluster: Machine) -> None:
    both = [launch("*submit(rows(3, 0.5), cluster)", cluster) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said[0].count("attached") == 6 and said[1].count("submitted") == 6
    executors.run(rows(3, 0.5), cluster)
    assert [runs(cluster, job) for job in rows(3)] == [1] * 6


@pytest.mark.slurm
@pytest.mark.parametrize("n", [1, 2])
def test_submitter_killed_between_sbatch_and_its_record(cluster: Machine, tmp_path: Path, n: int) -> None:
    """Nobody wrote the id down, nor did submitit name the work after it; the job runs and is found all the same."""
    wrapper = tmp_path / "bin" / "sbatch"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/bash\n{shutil.which("sbatch")} "$@" >{tmp_path}/said\nkill -KILL $PPID\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    jobs = rows(n, pause=0.5)[:n]
    path = os.pathsep.join([str(wrapper.parent), os.environ["PATH"]])
    submitter = launch(f"submit(rows({n}, 0.5)[:{n}], cluster)", cluster, PATH=path)
    assert submitter.wait(60) == -signal.SIGKILL
    identity = (tmp_path / "said").read_text().split()[-1]
    folders = [cluster.jobs / job.key for job in jobs]
    assert [read_json(folder / "slurm.json")["id"] for folder in folders] == [None] * n
    wanted = [identity] if n == 1 else [f"{identity}_{index}" for index in range(n)]
    assert submit(jobs, cluster) == [Submission("attached", one) for one in wanted]
    executors.run(jobs, cluster)
    assert [runs(cluster, job) for job in jobs] == [1] * n


@pytest.mark.slurm
def test_submitter_killed_before_sbatch(cluster: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    job = counting(1)
    folder = JobStore(cluster.jobs).prepare(job, {})
    write_json(
        folder / "slurm.json",
        {"key": job.key, "submission": "sgr-of-nobody", "index": None, "id": None, "submitted": "before"},
    )
    monkeypatch.setattr("sgr.jobs.slurm.submit.SBATCH_SECONDS", 1)
    assert submit([job], cluster)[0].state == "submitted"
    executors.run([job], cluster)


@pytest.mark.slurm
def test_killed_while_it_waits_and_attached_by_the_next(cluster: Machine) -> None:
    jobs = rows(2, pause=0.7)
    waiting = launch("executors.run(rows(2, 0.7), cluster)", cluster)
    eventually(lambda: all(runs(cluster, job) for job in jobs[:2]))
    waiting.kill()
    waiting.wait()
    assert {made.state for made in submit(jobs, cluster)} <= {"attached", "finished"}
    executors.run(jobs, cluster)
    assert [runs(cluster, job) for job in jobs] == [1] * 4


@pytest.mark.slurm
def test_a_stale_id_or_a_copied_record_is_not_trusted(cluster: Machine) -> None:
    other, job = counting(1, 30, 0.1), counting(2)
    (running,) = submit([other], cluster)
    theirs = read_json(cluster.jobs / other.key / "slurm.json")
    folder = JobStore(cluster.jobs).prepare(job, {})
    assert theirs["id"] == running.id
    # an id that now belongs to another job; another job's record; another submission's name with this job's id
    for record in (
        {**theirs, "key": job.key, "submission": "sgr-an-earlier-day"},
        theirs,
        {**theirs, "key": job.key, "id": "1"},
    ):
        write_json(folder / "slurm.json", record)
        assert squeue.active([folder]) == {}
    assert submit([job], cluster)[0].state == "submitted"
    executors.run([job, other], cluster)
    assert runs(cluster, job) == runs(cluster, other) == 1


def test_the_result_of_another_key_is_refused(cluster: Machine) -> None:
    inline = cluster.model_copy(update={"executor": "inline"})
    job, other = counting(1), counting(2)
    (folder,) = executors.run([job], inline)
    shutil.copytree(folder, cluster.jobs / other.key)
    with pytest.raises(UserError, match=rf"{other.key} holds the result of job {job.key}: delete") as caught:
        executors.run([other], inline)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_code_that_changed_since_the_plan_is_refused_here(cluster: Machine, executor: str) -> None:
    refuses_changed_code(Machine.model_validate({"executor": executor, "jobs": cluster.jobs}))


@pytest.mark.slurm
def test_code_that_changed_since_the_plan_is_not_submitted(cluster: Machine) -> None:
    refuses_changed_code(cluster)


def refuses_changed_code(cluster: Machine) -> None:
    known = {"sgr/losses.py": PROJECT.meaning((ROOT / "sgr" / "losses.py").read_bytes())}
    executors.run([counting(1, 1, code=Code(known))], cluster)
    for path in ("sgr/losses.py", "sgr/gone.py", "README.md"):
        job = counting(1, 1, code=Code(known | {path: "0" * 16}))
        with pytest.raises(UserError, match=rf"^{path} changed since the plan was made: run dvc repro plan"):
            executors.run([job], cluster)
        assert not (cluster.jobs / job.key / "job.json").exists()


@pytest.mark.slurm
def test_edits_while_a_job_waits_change_nothing(cluster: Machine, tmp_path: Path) -> None:
    """A copy of the package is edited, then deleted, between submission and start."""
    shutil.copytree(ROOT / "sgr", tmp_path / "source" / "sgr", ignore=shutil.ignore_patterns("__pycache__"))
    edited = tmp_path / "source" / "sgr" / "errors.py"
    as_submitted = edited.read_bytes()
    first = counting(1, 20, 0.1)
    job = "Job(SURROUNDINGS, None, after=(counting(1, 20, 0.1),))"
    paths = os.pathsep.join([str(tmp_path / "source"), str(Path(__file__).parent), str(ROOT)])
    process = launch(f"submit([counting(1, 20, 0.1), {job}], cluster)", cluster, PYTHONPATH=paths)
    complaint = process.communicate(timeout=60)[1]
    assert process.returncode == 0, complaint
    edited.write_text("raise RuntimeError('edited')\n")
    shutil.rmtree(tmp_path / "source")
    behind = Job(SURROUNDINGS, None, after=(first,))
    folder = cluster.jobs / behind.key
    squeue.wait({folder: squeue.active([folder])[folder].id})
    imported = Path(read_json(folder / "told.json")["code"])
    assert imported.is_relative_to(cluster.jobs / "code")
    assert (imported.parent / "errors.py").read_bytes() == as_submitted


def test_here_runs_side_by_side_and_goes_on_past_a_failure(cluster: Machine) -> None:
    inline = cluster.model_copy(update={"executor": "inline", "max_jobs": 3})
    failing = Job(FAIL, {"n": 1})
    jobs = [failing, *rows(2, pause=0.3), counting(9, 1, after=(failing,))]
    (failed,) = executors.here(jobs, inline)
    assert "ZeroDivisionError: the loss is not a number" in str(failed)
    store = JobStore(inline.jobs)
    assert [store.finished(job) for job in jobs] == [False, True, True, True, True, False]
    started = [read_json(store.folder(job) / "provenance.json")["started"] for job in jobs[1:3]]
    assert max(started) <= min(finished(inline, job) for job in jobs[1:3])
    assert executors.run(jobs[1:5], inline) == [store.folder(job) for job in jobs[1:5]]
    assert [runs(inline, job) for job in jobs[1:5]] == [1] * 4


def test_here_ends_with_ctrl_c_and_resumes(cluster: Machine) -> None:
    inline = cluster.model_copy(update={"executor": "inline", "max_jobs": 2})
    jobs = [counting(seed, 60, 0.1) for seed in range(2)]
    process = launch("executors.here([counting(seed, 60, 0.1) for seed in range(2)], cluster)", inline)
    eventually(lambda: all((inline.jobs / job.key / "checkpoint.json").exists() for job in jobs))
    process.send_signal(signal.SIGINT)
    complaint = process.communicate(timeout=30)[1]
    assert process.returncode == 130 and "it resumes" in complaint and "Traceback" not in complaint
    for job in jobs:
        pid = int((inline.jobs / job.key / "runs.txt").read_text().split()[0])
        assert not Path(f"/proc/{pid}").exists() and not JobStore(inline.jobs).finished(job)
    assert executors.here(jobs, inline) == []
    assert not (inline.jobs / jobs[0].key / "runs.txt").read_text().splitlines()[1].endswith(" from 0")
