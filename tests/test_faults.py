"""What goes wrong on a cluster, each for real: `dvc repro` on a real SLURM, what it says, and what the next one makes.

docs/faults.md is the table of these faults; what a test sees must stand there word for word.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from sgr.files import read_json, write_json
from sgr.jobs.run.executors import run
from sgr.machine import Machine
from tests.fake_jobs import COUNTED
from tests.fake_stage import job_of
from tests.scratch import ROOT, environment, files_under

UP = ROOT / "tests" / "slurm" / "up.sh"
PATIENCE = 300  # seconds for anything that should happen at once, on a machine that is busy elsewhere
ITERATIONS = 6
OUTAGE_SECONDS = 20
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.dag,
    pytest.mark.skipif(shutil.which("sbatch") is None, reason="no sbatch on PATH: run tests/slurm/up.sh"),
]


class Seen(NamedTuple):
    """What a user saw of one `dvc repro`: what the stage said, without its keys, ids and paths, and the exit status."""

    said: str
    status: int


class Lab:
    """A scratch repository whose pipeline has one stage a row (tests/fake_stage.py), with a job store of its own."""

    def __init__(self, root: Path, rows: tuple[str, ...] = ("row",)) -> None:
        self.root, self.rows, self.wrapper = root, rows, root / "bin" / "sbatch"
        self._started: list[subprocess.Popen[bytes]] = []
        (root / ".dvc").mkdir(parents=True)
        (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
        stages = {}
        for number, row in enumerate(rows):
            write_json(root / f"{row}.json", {"settings": {"iterations": ITERATIONS}, "seed": number})
            stages[row] = {
                "cmd": f"python -m tests.fake_stage {row}",
                "deps": [f"{row}.json"],
                "outs": [f"out/{row}"],
            }
            self.strike("none", row)
        (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
        self.settings()
        self.job = job_of(root, rows[0])
        self.folder = root / "jobs" / self.job.key

    def settings(self, **slurm: object) -> None:
        """Write cluster.yaml."""
        asked = {"time": 30, "memory_gb": 1, "cpus": 1, "gpus_per_job": 0, **slurm}
        (self.root / "cluster.yaml").write_text(yaml.safe_dump({"executor": "slurm", "slurm": asked}))

    def strike(self, fault: str, row: str = "row") -> None:
        """Choose what the job meets halfway, should it be submitted from now on."""
        write_json(self.root / f"{row}.where.json", {"fault": fault, "gate": str(self.root / "gate")})

    def open_gate(self) -> None:
        """Let a job go on that waits halfway."""
        (self.root / "gate").touch()

    def wrap_sbatch(self, script: str) -> None:
        """Put a script in sbatch's place; in it `$sbatch` is the real one."""
        self.wrapper.parent.mkdir()
        self.wrapper.write_text(f"#!/bin/bash\nsbatch={shutil.which('sbatch')}\n{script}\n")
        self.wrapper.chmod(0o755)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`dvc repro row`, or with other arguments, as the first process of a session, as in a terminal."""
        variables = environment(self.root, PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1")
        variables["PATH"] = f"{self.wrapper.parent}{os.pathsep}{variables['PATH']}"
        with open(self.root / f"output{len(self._started)}", "wb") as output:
            process = subprocess.Popen(
                ["dvc", "repro", *(arguments or ["row"])],
                cwd=self.root,
                env=variables,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> Seen:
        """Wait for the end of a `dvc repro`."""
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"dvc repro does not end:\n{self.output(process)}") from None
        return Seen(self._said(self.output(process)), status)

    def output(self, process: subprocess.Popen[bytes]) -> str:
        """All that a `dvc repro` has written so far."""
        return (self.root / f"output{self._started.index(process)}").read_text()

    def halfway(self) -> None:
        """Wait until the job has come halfway."""
        checkpoint = self.folder / "checkpoint.json"
        eventually(lambda: checkpoint.exists() and read_json(checkpoint)["iteration"] == ITERATIONS // 2)

    @property
    def id(self) -> str | None:
        """The SLURM job that slurm.json tells of."""
        record = self.folder / "slurm.json"
        return read_json(record)["id"] if record.exists() else None

    @property
    def attempts(self) -> int:
        """How often a worker has started on the job."""
        path = self.folder / "attempts.txt"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def close(self) -> None:
        """End what may still run of the sessions that were started."""
        for process in self._started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _said(self, output: str) -> str:
        lines = [line.removeprefix("error: ") for line in output.splitlines()]
        first = next((line for line in lines if re.match(r"job |SLURM |cluster.yaml|/", line)), "")
        for found, name in (
            (self.folder.name, "KEY"),
            (str(self.root), ""),
            (self.id or "no id", "ID"),
            (r"\b[0-9a-f]{32}\b", "OTHER"),
            (r"(?<=log: )/jobs/[^\s)]+", "LOG"),
            (r"/jobs/KEY", "FOLDER"),
        ):
            first = re.sub(found, name, first)
        return first


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened for {PATIENCE} s"
        time.sleep(0.1)


def scontrol(*arguments: str) -> str:
    return subprocess.run(["scontrol", *arguments], check=True, capture_output=True, text=True).stdout


def scontrol_config() -> dict[str, str]:
    lines = (line.split("=", 1) for line in scontrol("show", "config").splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, value in lines}


def fields(identity: str | None) -> dict[str, str]:
    shown = scontrol("show", "job", "--oneliner", str(identity))
    return dict(word.split("=", 1) for word in shown.split() if "=" in word)


# The faults. Each returns what was seen of the `dvc repro` that met it; its docstring is its name in docs/faults.md.


def job_killed(lab: Lab) -> Seen:
    """SIGKILL of the job"""
    lab.strike("gate")
    repro = lab.start()
    lab.halfway()
    os.kill(int((lab.folder / "runs.txt").read_text().split()[0]), signal.SIGKILL)
    return lab.end(repro)


def cancelled_pending(lab: Lab) -> Seen:
    """`scancel` while pending"""
    lab.wrap_sbatch('exec $sbatch --begin=now+1hour "$@"')
    repro = lab.start()
    eventually(lambda: lab.id)
    subprocess.run(["scancel", str(lab.id)], check=True)
    seen = lab.end(repro)
    assert lab.attempts == 0
    return seen


def cancelled_running(lab: Lab) -> Seen:
    """`scancel` while running"""
    lab.strike("gate")
    repro = lab.start()
    lab.halfway()
    subprocess.run(["scancel", str(lab.id)], check=True)
    return lab.end(repro)


def warned_of_the_time_limit(lab: Lab) -> Seen:
    """time limit"""
    lab.strike("gate")
    repro = lab.start()
    lab.halfway()
    scontrol("update", f"JobId={lab.id}", "TimeLimit=1")
    eventually(lambda: fields(lab.id)["Restarts"] == "1")
    scontrol("update", f"JobId={lab.id}", "TimeLimit=30")
    lab.open_gate()
    seen = lab.end(repro)
    assert lab.attempts == 2
    return seen


def deaf_to_the_time_limit(lab: Lab) -> Seen:
    """time limit, but the job does not heed the warning"""
    lab.strike("deaf")
    repro = lab.start()
    lab.halfway()
    scontrol("update", f"JobId={lab.id}", "TimeLimit=0")
    return lab.end(repro)


def requeued(lab: Lab) -> Seen:
    """`scontrol requeue`, while running and once more after the end"""
    lab.strike("gate")
    repro = lab.start()
    lab.halfway()
    scontrol("requeue", str(lab.id))
    eventually(lambda: lab.attempts == 2)
    lab.open_gate()
    seen = lab.end(repro)
    before = files_under(lab.folder)
    eventually(lambda: fields(lab.id)["JobState"] == "COMPLETED")
    scontrol("requeue", str(lab.id))
    eventually(lambda: fields(lab.id)["Restarts"] == "2" and fields(lab.id)["JobState"] == "COMPLETED")
    assert files_under(lab.folder) == before
    return seen


def repro_killed(lab: Lab) -> Seen:
    """SIGKILL of `dvc repro`"""
    lab.strike("gate")
    repro = lab.start()
    lab.halfway()
    repro.kill()
    return lab.end(repro)


def connection_lost(lab: Lab) -> Seen:
    """lost connection (SIGHUP to `dvc repro` and its stage)"""
    lab.strike("gate")
    repro = lab.start()
    lab.halfway()
    os.killpg(repro.pid, signal.SIGHUP)
    return lab.end(repro)


def interrupted(lab: Lab) -> Seen:
    """Ctrl-C"""
    lab.strike("gate")
    repro = lab.start()
    lab.halfway()
    os.killpg(repro.pid, signal.SIGINT)
    return lab.end(repro)


def submitter_killed_before(lab: Lab) -> Seen:
    """SIGKILL of the submitting process just before `sbatch`"""
    lab.wrap_sbatch("kill -KILL $PPID")
    return lab.end(lab.start())


def submitter_killed_after(lab: Lab) -> Seen:
    """SIGKILL of the submitting process just after `sbatch`"""
    lab.strike("gate")
    lab.wrap_sbatch('$sbatch "$@"; kill -KILL $PPID')
    return lab.end(lab.start())


def over_memory(lab: Lab) -> Seen:
    """over memory"""
    lab.strike("memory")
    return lab.end(lab.start())


def disk_full(lab: Lab) -> Seen:
    """full disk in the job folder"""
    lab.strike("disk")
    lab.folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", lab.folder], check=True)
    seen = lab.end(lab.start())
    assert shutil.disk_usage(lab.folder).free == 0 and not (lab.folder / "failed.json").exists()
    (lab.folder / "ballast").unlink()
    return seen


def rank_failed(lab: Lab) -> Seen:
    """one rank of two fails"""
    lab.strike("rank")
    lab.settings(memory_gb=4)  # torch, twice
    lab.wrap_sbatch('exec $sbatch --ntasks-per-node=2 "$@"')
    repro = lab.start()
    seen = lab.end(repro)
    assert "ZeroDivisionError: the loss is not a number" in lab.output(repro)
    return seen


def error_in_training(lab: Lab) -> Seen:
    """Python error in the training code, `dvc repro -k`"""
    lab.strike("error")
    repro = lab.start("--keep-going")
    seen = lab.end(repro)
    assert "ZeroDivisionError: the loss is not a number" in lab.output(repro)
    assert (lab.root / "out" / "other").exists()
    return seen


def mistake_in_data(lab: Lab) -> Seen:
    """a mistake of the user that the job finds"""
    lab.strike("mistake")
    return lab.end(lab.start())


def unknown_partition(lab: Lab) -> Seen:
    """unknown partition"""
    lab.settings(partition="nowhere")
    return lab.end(lab.start())


def refused(lab: Lab) -> Seen:
    """`sbatch` refuses"""
    lab.wrap_sbatch('exec $sbatch --reservation=nobody "$@"')
    return lab.end(lab.start())


def stale_id(lab: Lab) -> Seen:
    """slurm.json names a job that is another's by now"""
    sleeper = subprocess.run(
        ["sbatch", "--parsable", "--output=/dev/null", "--mem=10M", "--wrap=sleep 300"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    try:
        stale = {"key": lab.job.key, "submission": "sgr-stale", "index": None, "id": sleeper}
        write_json(lab.folder / "slurm.json", stale)
        seen = lab.end(lab.start())
        assert lab.attempts == 1 and lab.id != sleeper
        assert fields(sleeper)["JobState"] in ("PENDING", "RUNNING")
        return seen
    finally:
        subprocess.run(["scancel", sleeper], check=True)


def foreign_result(lab: Lab) -> Seen:
    """the job folder holds the result of another content key"""
    (other,) = run([job_of(lab.root, "other")], Machine(jobs=lab.root / "jobs"))
    shutil.copytree(other, lab.folder)
    seen = lab.end(lab.start())
    assert not (lab.root / "out" / "row").exists()
    shutil.rmtree(lab.folder)
    return seen


SIDE_BY_SIDE = [
    warned_of_the_time_limit,
    deaf_to_the_time_limit,
    requeued,
    job_killed,
    cancelled_pending,
    cancelled_running,
    repro_killed,
    connection_lost,
    interrupted,
    submitter_killed_before,
    submitter_killed_after,
    over_memory,
    disk_full,
    rank_failed,
    error_in_training,
    mistake_in_data,
    unknown_partition,
    refused,
    stale_id,
    foreign_result,
]


@contextmanager
def lab(root: Path, rows: tuple[str, ...] = ("row",)) -> Iterator[Lab]:
    """A Lab that leaves nothing behind: no process, no SLURM job, no mount."""
    made = Lab(root, rows)
    try:
        yield made
    finally:
        made.close()
        if made.id:
            subprocess.run(["scancel", made.id], capture_output=True)
        if made.folder.is_mount():
            subprocess.run(["umount", "--lazy", made.folder], check=True)


def mended(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    """The next `dvc repro`, once the cause is gone, ends with the bits of an undisturbed run."""
    lab.strike("none")
    lab.settings()
    lab.wrapper.unlink(missing_ok=True)
    lab.open_gate()
    again = lab.start()
    assert lab.end(again).status == 0, lab.output(again)
    assert files_under(lab.root / "out" / "row") == undisturbed


def meet(fault: Callable[[Lab], Seen], root: Path, undisturbed: dict[str, bytes]) -> Seen:
    with lab(root, ("row", "other")) as made:
        seen = fault(made)
        mended(made, undisturbed)
    return seen


@pytest.fixture(scope="module")
def documented() -> dict[str, tuple[str, str]]:
    """What docs/faults.md says a user sees, and the exit status, by fault."""
    on_a_cluster, _, _ = (ROOT / "docs" / "faults.md").read_text().partition("\n## ")
    rows = re.findall(r"^\| (.+?) \| (.*?) \| (.*?) \|.*\|$", on_a_cluster, re.MULTILINE)
    return {fault: (said, status) for fault, said, status in rows}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of the stage's output as a run in this process makes them."""
    root = tmp_path_factory.mktemp("undisturbed")
    job = Lab(root / "lab").job
    run([job], Machine(jobs=root / "jobs"))
    Machine(jobs=root / "jobs").store.take(job, COUNTED, root / "out")
    return files_under(root / "out")


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory, undisturbed: dict[str, bytes]
) -> Iterator[dict[str, Future[Seen]]]:
    """What was seen of each fault; they are met side by side, so that one waits while another works."""
    if subprocess.run(["squeue"], capture_output=True).returncode:
        subprocess.run(["bash", str(UP)], check=True)
    root = tmp_path_factory.mktemp("faults")
    with ThreadPoolExecutor(8) as pool:
        yield {
            fault.__name__: pool.submit(meet, fault, root / fault.__name__, undisturbed)
            for fault in SIDE_BY_SIDE
        }


@pytest.fixture
def alone(outcomes: dict[str, Future[Seen]]) -> None:
    """Waits for the other faults: what follows would be felt by them."""
    wait(outcomes.values())


@pytest.mark.parametrize("fault", SIDE_BY_SIDE, ids=lambda fault: fault.__name__)
def test_fault(
    fault: Callable[[Lab], Seen], outcomes: dict[str, Future[Seen]], documented: dict[str, tuple[str, str]]
) -> None:
    seen = outcomes[fault.__name__].result()
    assert as_written(seen) == documented.get(fault.__doc__ or "")


def as_written(seen: Seen) -> tuple[str, str]:
    """The cells of the table."""
    return seen.said or "nothing", str(seen.status)


@pytest.mark.usefixtures("alone")
def test_slurmctld_down(
    tmp_path: Path, undisturbed: dict[str, bytes], documented: dict[str, tuple[str, str]]
) -> None:
    with lab(tmp_path / "waiting") as waiting, lab(tmp_path / "submitting") as submitting:
        waiting.strike("gate")
        repros = {waiting: waiting.start()}
        waiting.halfway()
        base = Path(scontrol_config()["StateSaveLocation"]).parent
        try:
            pid = int((base / "run" / "slurmctld.pid").read_text())
            os.kill(pid, signal.SIGTERM)
            eventually(lambda: not Path(f"/proc/{pid}").exists())
            down = time.monotonic()
            repros[submitting] = submitting.start()
            waiting.open_gate()
            eventually(lambda: (waiting.folder / "done.json").exists())
            eventually(lambda: "SLURM does not answer" in submitting.output(repros[submitting]))
            time.sleep(max(0, down + OUTAGE_SECONDS - time.monotonic()))
        finally:
            subprocess.run(["bash", str(UP), str(base)], check=True)
        for made, fault in (
            (waiting, "slurmctld down for 20 s while `dvc repro` waits"),
            (submitting, "slurmctld down for 20 s while `dvc repro` submits"),
        ):
            assert as_written(made.end(repros[made])) == documented.get(fault)
            assert made.attempts == 1
            mended(made, undisturbed)


@pytest.mark.usefixtures("alone")
def test_node_failure(
    tmp_path: Path, undisturbed: dict[str, bytes], documented: dict[str, tuple[str, str]]
) -> None:
    with lab(tmp_path / "lab") as made:
        made.strike("gate")
        repro = made.start()
        made.halfway()
        node = fields(made.id)["NodeList"]
        try:
            scontrol("update", f"NodeName={node}", "State=DOWN", "Reason=test")
            eventually(lambda: fields(made.id)["Restarts"] == "1")
        finally:
            # refused if slurmd has registered again meanwhile
            subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], capture_output=True)
        # before that the first run, which the node's daemon is about to end, could still get through the gate
        eventually(lambda: made.attempts == 2)
        made.open_gate()
        assert as_written(made.end(repro)) == documented.get("node failure")
        assert made.attempts == 2
        mended(made, undisturbed)


def test_every_row_of_the_table_is_tested(documented: dict[str, tuple[str, str]]) -> None:
    alone = {
        "slurmctld down for 20 s while `dvc repro` waits",
        "slurmctld down for 20 s while `dvc repro` submits",
        "node failure",
    }
    headings = {"fault", "---"}
    assert documented.keys() - headings == alone | {fault.__doc__ for fault in SIDE_BY_SIDE}
