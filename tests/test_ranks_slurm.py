"""Jobs of two tasks on a real SLURM; without sbatch the tests are skipped."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import submitit

from sgr.files import read_json
from sgr.jobs.cluster import Slurm
from sgr.jobs.failure import Ending, failure
from sgr.jobs.job import Job
from sgr.jobs.provenance import launched
from sgr.jobs.slurm import submit
from sgr.jobs.slurm.sbatch import SRUN, Work
from sgr.jobs.store import JobStore, is_finished
from sgr.kinds import TRAIN
from sgr.machine import Machine
from sgr.project import PROJECT
from tests import local_ranks, tiny_row
from tests.fake_jobs import kind

pytestmark = pytest.mark.slurm
ROOT = tiny_row.ROOT


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests"), str(ROOT)]))


def two_tasks(folder: Path) -> str:
    """The id of the job in `folder`, whose kind is none of those that get several tasks: two of one CPU."""
    executor = submitit.SlurmExecutor(folder / "submitit", max_num_timeout=9)
    executor.update_parameters(
        job_name=f"sgr-{folder.name}",
        time=30,
        ntasks_per_node=2,
        cpus_per_task=1,
        mem="2GB",
        stderr_to_stdout=True,
        srun_args=SRUN,
        setup=["export OMP_NUM_THREADS=1"],
        additional_parameters={"requeue": True},
    )
    return str(executor.submit(Work(folder)).job_id)


def state(identity: str) -> str:
    """PENDING, RUNNING, …; nothing once SLURM has let go of the job."""
    found = subprocess.run(
        ["squeue", "--noheader", "--format=%T", f"--jobs={identity}"], capture_output=True, text=True
    )
    return found.stdout.strip()


def eventually(condition: Callable[[], object], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened for {seconds} s"
        time.sleep(0.1)


def test_warned_job_writes_a_checkpoint_on_all_ranks_and_is_requeued(tmp_path: Path) -> None:
    files = tiny_row.make(tmp_path / "row")
    files = replace(files, run=replace(files.run, checkpoint_seconds=1e9))
    job = Job(TRAIN, tiny_row.training(loop={"iterations": 60}), 0, where=files, threads=1)
    whole = JobStore(tmp_path / "whole").prepare(job, launched("slurm", None, PROJECT))
    asked = Slurm(time=30, memory_gb=4, cpus=1, gpus_per_job=0, processes=2)
    cluster = Machine(executor="slurm", jobs=tmp_path / "warned", slurm=asked)
    warned = JobStore(cluster.jobs).folder(job)
    identity = submit.submit([job], cluster)[0].id
    assert identity
    try:
        live = warned / "dvclive"
        eventually(lambda: any(len(tsv.read_text().splitlines()) > 3 for tsv in live.rglob("loss.tsv")))
        subprocess.run(["scancel", "--signal=USR2", identity], check=True)
        eventually(lambda: state(identity) == "PENDING")
        assert (warned / "checkpoint.pt").exists() and not (warned / "failed.json").exists()
        assert local_ranks.run(2, local_ranks.work, whole) == [0, 0]
        eventually(lambda: not state(identity) or is_finished(warned))
    finally:
        subprocess.run(["scancel", identity])
    for name in ("model.safetensors", "curve.csv"):
        assert (warned / name).read_bytes() == (whole / name).read_bytes()
    record = read_json(warned / "provenance.json")
    assert record["attempts"] == 2 and record["ranks"] == 2


@pytest.mark.parametrize(
    "name, said",
    [
        ("fail", "ZeroDivisionError: of rank 1"),
        ("die", "one of the 2 ranks ended without a word, perhaps killed for want of memory"),
    ],
)
def test_job_with_a_failing_rank_ends_and_tells_why(name: str, said: str, tmp_path: Path) -> None:
    folder = JobStore(tmp_path).prepare(
        Job(kind(name, module="rank_jobs"), None), launched("slurm", None, PROJECT)
    )
    identity = two_tasks(folder)
    try:
        eventually(lambda: not state(identity))
    finally:
        subprocess.run(["scancel", identity])
    assert said in str(failure(folder, Ending("ended"))) and not is_finished(folder)
