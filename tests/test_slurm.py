"""Jobs on a real SLURM; without sbatch the tests are skipped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs.cluster import Slurm
from sgr.jobs.failure import JobError
from sgr.jobs.job import Job
from sgr.jobs.run.executors import run
from sgr.jobs.slurm import squeue
from sgr.jobs.slurm.submit import Submission, submit
from sgr.jobs.store import JobStore
from sgr.machine import Machine
from tests.fake_jobs import COUNT, FAIL, SURROUNDINGS, Count, Pause, artefacts
from tests.scratch import ROOT

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("importable")]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(squeue, "SLOWEST_POLL_SECONDS", 1)
    monkeypatch.setattr(squeue, "SETTLE_SECONDS", 2)
    slurm = Slurm(time=30, memory_gb=1, cpus=1, gpus_per_job=0, setup=["export SETUP_LINE=ran"])
    return Machine(executor="slurm", jobs=tmp_path / "jobs", slurm=slurm)


def counting(iterations: int = 5, pause: float = 0, seed: int = 7) -> Job:
    return Job(COUNT, Count(iterations), seed, where=Pause(pause))


def eventually(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened for {seconds} s"
        time.sleep(0.05)


def runs(folder: Path) -> list[str]:
    path = folder / "runs.txt"
    return path.read_text().splitlines() if path.exists() else []


def scancel(*arguments: str) -> None:
    subprocess.run(["scancel", *arguments], check=True)


def test_result_equals_inline(cluster: Machine, tmp_path: Path) -> None:
    jobs = [counting(seed=seed) for seed in (0, 1, 2)]
    folders = run(jobs, cluster)
    inline = run(jobs, Machine(jobs=tmp_path / "inline"))
    for folder, other in zip(folders, inline, strict=True):
        assert artefacts(folder) == artefacts(other)
        assert (folder / "weights.bin").read_bytes() == (other / "weights.bin").read_bytes()
    assert run(jobs, cluster) == folders and len(runs(folders[0])) == 1
    record = read_json(folders[0] / "provenance.json")
    assert record["executor"] == "slurm" and record["slurm_job"] == read_json(folders[0] / "slurm.json")["id"]


def test_runs_the_code_of_its_submission(cluster: Machine) -> None:
    (folder,) = run([Job(SURROUNDINGS, None, threads=3)], cluster)
    told = read_json(folder / "told.json")
    assert told["threads"] == "3" and Path(told["code"]).is_relative_to(cluster.jobs / "code")
    assert Path(told["folder"]) == ROOT


def test_cancelled_job_is_one_sentence_and_resumes(cluster: Machine) -> None:
    # submitit ignores SIGTERM: the job goes on for the 5 to 7 s until SLURM kills it.
    job = counting(iterations=80, pause=0.1)
    folder = JobStore(cluster.jobs).folder(job)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(run, [job], cluster)
        eventually(lambda: (folder / "checkpoint.json").exists())
        scancel(squeue.active([folder])[folder].id)
        with pytest.raises(
            JobError, match=rf"job {job.key} \(fake_jobs:count\) ended as CANCELLED .* resumes"
        ):
            running.result(timeout=60)
    assert not (folder / "done.json").exists()
    run([job], cluster)
    assert len(runs(folder)) == 2 and not runs(folder)[1].endswith(" from 0")


def test_ctrl_c_leaves_the_job_and_the_next_run_attaches(cluster: Machine) -> None:
    job = counting(iterations=40, pause=0.1)
    folder = JobStore(cluster.jobs).folder(job)
    code = (
        "from sgr.machine import Machine; from fake_jobs import *; from sgr.jobs.job import Job;"
        "from sgr.jobs.run.executors import run;"
        f"run([Job(COUNT, {job.settings!r}, {job.seed}, where={job.where!r})],"
        f" Machine.model_validate_json({cluster.model_dump_json()!r}))"
    )
    stage = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    eventually(lambda: runs(folder))
    stage.send_signal(signal.SIGINT)
    complaint = stage.communicate(timeout=20)[1]
    assert stage.returncode == 130 and "run on" in complaint and "Traceback" not in complaint
    assert submit([job], cluster) == [Submission("attached", read_json(folder / "slurm.json")["id"])]
    # Even after a change of mind about the executor.
    run([job], cluster.model_copy(update={"executor": "inline"}))
    assert len(runs(folder)) == 1


def test_warned_job_is_requeued_and_resumes(cluster: Machine) -> None:
    job = counting(iterations=30, pause=0.1)
    folder = JobStore(cluster.jobs).folder(job)
    ((_, identity),) = submit([job], cluster)
    eventually(lambda: (folder / "checkpoint.json").exists())
    scancel("--signal=USR2", str(identity))
    eventually(lambda: squeue.active([folder])[folder].state.startswith("PENDING"))
    run([job], cluster)
    assert len(runs(folder)) == 2 and not runs(folder)[1].endswith(" from 0")
    assert read_json(folder / "provenance.json")["attempts"] == 2


def test_failure_tells_its_traceback_and_is_retried(cluster: Machine) -> None:
    job = Job(FAIL, {"n": 1})
    with pytest.raises(JobError, match=r"ZeroDivisionError: the loss is not a number") as caught:
        run([job], cluster)
    assert job.key in str(caught.value) and "log" in str(caught.value)
    run([replace(job, where={"mended": True})], cluster)


def test_job_that_never_reaches_its_worker_shows_its_output(cluster: Machine) -> None:
    slurm = cluster.slurm.model_copy(update={"setup": ["echo no such module >&2", "exit 3"]})
    with pytest.raises(JobError, match=r"ended as FAILED(.|\n)*no such module"):
        run([counting()], cluster.model_copy(update={"slurm": slurm}))


def test_refusal_is_one_sentence(cluster: Machine) -> None:
    slurm = cluster.slurm.model_copy(update={"partition": "nowhere"})
    with pytest.raises(
        UserError, match=r"`slurm.partition` is nowhere, but the partitions here are"
    ) as caught:
        run([counting()], cluster.model_copy(update={"slurm": slurm}))
    assert len(str(caught.value).splitlines()) == 1
    run([counting()], cluster)


def test_missing_sbatch_is_one_sentence(cluster: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"no sbatch on PATH: set `executor`"):
        run([counting()], cluster)


def test_dependent_job_waits_for_its_training(cluster: Machine) -> None:
    training = counting(iterations=20, pause=0.1)
    evaluation = replace(counting(1, seed=3), after=(training,))
    with pytest.raises(UserError, match=r"must finish first"):
        submit([evaluation], cluster)
    assert [made.state for made in submit([training], cluster)] == ["submitted"]
    assert [made.state for made in submit([evaluation], cluster)] == ["submitted"]
    folder = JobStore(cluster.jobs).folder(evaluation)
    assert "Dependency" in squeue.active([folder])[folder].state
    run([training, evaluation], cluster)
    record = [
        read_json(JobStore(cluster.jobs).folder(job) / "provenance.json") for job in (training, evaluation)
    ]
    assert record[0]["finished"] <= record[1]["started"]


def test_dependent_job_does_not_outwait_a_failed_training(cluster: Machine) -> None:
    training = Job(FAIL, {"n": 2})
    evaluation = replace(counting(1, seed=5), after=(training,))
    _, (_, identity) = submit([training, evaluation], cluster)
    assert identity is not None
    with pytest.raises(JobError, match=r"ended as CANCELLED"):
        squeue.wait({JobStore(cluster.jobs).folder(evaluation): identity})
