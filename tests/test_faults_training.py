"""What goes wrong with a training and with the files around a job on any machine, each for real: in processes that run
its stage, with what they say, and what the next one makes.

docs/faults.md has the table of these faults; what a test sees must stand there word for word.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sgr.jobs.failure import one_sentence
from sgr.jobs.job import Job
from sgr.jobs.run.executors import run
from sgr.kinds import EVALUATE, TRAIN
from sgr.machine import Machine
from sgr.training.settings import TrainFiles
from tests import local_ranks, tiny_row
from tests.scratch import ROOT, files_under

SECTION = "## On any machine"
KILLED = -signal.SIGKILL


class Seen(NamedTuple):
    """What a user saw of one run of the stage, without keys and paths, and its exit status."""

    said: str
    status: int


class Lab:
    """A job store, a training of nine iterations that writes a checkpoint at each, and its stage."""

    def __init__(self, root: Path, files: TrainFiles) -> None:
        self.root, self.files = root, files
        self.job = Job(TRAIN, tiny_row.training(), 0, where=files, row=tiny_row.ROW)
        self.folder = root / "jobs" / self.job.key
        self.newest, self.previous = self.folder / "checkpoint.pt", self.folder / "checkpoint.previous.pt"

    def stage(self, job: Job | None = None, **event: Any) -> Seen:
        """Run the stage in a process of its own, to which an event may happen; see `local_ranks.happens`."""
        log = self.root / "rank0.txt"
        log.unlink(missing_ok=True)
        (status,) = local_ranks.run(1, stage, self.root, job or self.job, event)
        return Seen(self._said(log.read_text()), status)

    def killed(self) -> None:
        """Train until the middle of the sixth iteration."""
        assert self.stage(step=6, signal=signal.SIGKILL).status == KILLED
        assert tiny_row.reached(self.newest) == 5 and tiny_row.reached(self.previous) == 4

    def result(self) -> dict[str, bytes]:
        """What the stage took from the job."""
        return files_under(self.root / "out")

    def _said(self, output: str) -> str:
        lines = [line.removeprefix("error: ") for line in output.splitlines()]
        first = next((line for line in lines if re.match(r"job |/.*: ", line)), "")
        for found, name in (
            (re.escape(str(self.root)), ""),
            (r"\b[0-9a-f]{32}\b", "KEY"),
            (r"(?<=log: )/jobs/[^\s)]+", "LOG"),
            (r"/jobs/KEY", "FOLDER"),
        ):
            first = re.sub(found, name, first)
        return first


def stage(root: Path, job: Job, event: dict[str, Any]) -> None:
    """As the stages do it: run the job, take what it left, or say in one sentence why not."""
    if event:
        local_ranks.happens(event)
    with one_sentence():
        cluster = Machine(executor="inline", jobs=root / "jobs")
        run([job], cluster)
        cluster.store.take(job, job.kind.artefacts, root / "out")
        cluster.store.provenance(job)


def flip(file: Path, number: int = 64) -> None:
    """Turn all bits of bytes in the middle of a file."""
    content = bytearray(file.read_bytes())
    middle = slice(len(content) // 2, len(content) // 2 + number)
    content[middle] = bytes(255 - byte for byte in content[middle])
    file.write_bytes(content)


# The faults. Each returns what was seen of the stage that met it; its docstring is its name in docs/faults.md.


def checkpoint_flipped(lab: Lab) -> Seen:
    """flipped bytes in a checkpoint"""
    lab.killed()
    flip(lab.newest)
    return lab.stage()


def checkpoint_cut(lab: Lab) -> Seen:
    """a checkpoint that is cut off"""
    lab.killed()
    os.truncate(lab.newest, lab.newest.stat().st_size // 2)
    return lab.stage()


def both_checkpoints_damaged(lab: Lab) -> Seen:
    """both checkpoints damaged"""
    lab.killed()
    flip(lab.newest)
    lab.previous.write_bytes(b"")
    return lab.stage()


def checkpoint_of_another_iteration(lab: Lab) -> Seen:
    """a checkpoint of an iteration that the training has not"""
    longer = replace(lab.job, settings=tiny_row.training(loop={"iterations": 12}))
    assert lab.stage(longer, step=12, signal=signal.SIGKILL).status == KILLED
    lab.killed()
    shutil.copy(lab.root / "jobs" / longer.key / "checkpoint.pt", lab.newest)
    return lab.stage()


def checkpoint_of_another_network(lab: Lab) -> Seen:
    """a checkpoint of another network"""
    other = replace(lab.job, settings=tiny_row.training("camvid-fcn"))
    assert lab.stage(other, step=6, signal=signal.SIGKILL).status == KILLED
    lab.killed()
    shutil.copy(lab.root / "jobs" / other.key / "checkpoint.pt", lab.newest)
    return lab.stage()


def killed_while_saving(lab: Lab) -> Seen:
    """SIGKILL while a checkpoint is written"""
    seen = lab.stage(saving=3)
    assert list(lab.folder.glob(".checkpoint.pt.*.aside")) and not lab.newest.exists()
    assert tiny_row.reached(lab.previous) == 2
    return seen


def passing_nan(lab: Lab) -> Seen:
    """a loss that is not a number once"""
    seen = lab.stage(step=5, factor=float("nan"))
    assert tiny_row.reached(lab.newest) == 4
    return seen


def where_garbled(lab: Lab) -> Seen:
    """where.json, launch.json or job.json garbled, of a job that has not finished"""
    lab.killed()
    for name in ("where.json", "launch.json", "job.json"):
        flip(lab.folder / name)
    return lab.stage()


def where_garbled_after_the_end(lab: Lab) -> Seen:
    """where.json or launch.json garbled, of a job that has finished"""
    assert lab.stage().status == 0
    for name in ("where.json", "launch.json"):
        flip(lab.folder / name)
    return lab.stage()


def job_garbled_after_the_end(lab: Lab) -> Seen:
    """job.json garbled, of a job that has finished"""
    assert lab.stage().status == 0
    flip(lab.folder / "job.json")
    return lab.stage()


def provenance_missing(lab: Lab) -> Seen:
    """provenance.json missing"""
    assert lab.stage().status == 0
    (lab.folder / "provenance.json").unlink()
    return lab.stage()


def provenance_garbled(lab: Lab) -> Seen:
    """flipped bytes in provenance.json"""
    assert lab.stage().status == 0
    flip(lab.folder / "provenance.json", 1)
    return lab.stage()


def artefact_flipped(lab: Lab) -> Seen:
    """flipped bytes in a result that a stage takes"""
    assert lab.stage().status == 0
    flip(lab.folder / "model.safetensors")
    return lab.stage()


def jobs_is_a_file(lab: Lab) -> Seen:
    """`jobs` is a file, a dangling link or a loop of links"""
    jobs = lab.folder.parent
    seen = []
    for make in (jobs.touch, lambda: jobs.symlink_to("nowhere"), lambda: jobs.symlink_to(jobs)):
        make()
        seen.append(lab.stage())
        jobs.unlink()
    assert seen[0] == seen[1] == seen[2]
    return seen[0]


FAULTS = (
    checkpoint_flipped,
    checkpoint_cut,
    both_checkpoints_damaged,
    checkpoint_of_another_iteration,
    checkpoint_of_another_network,
    killed_while_saving,
    passing_nan,
    where_garbled,
    where_garbled_after_the_end,
    job_garbled_after_the_end,
    provenance_missing,
    provenance_garbled,
    artefact_flipped,
    jobs_is_a_file,
)


@pytest.fixture(scope="module")
def documented() -> dict[str, tuple[str, str]]:
    """What docs/faults.md says a user sees on any machine, and the exit status, by fault."""
    text = (ROOT / "docs" / "faults.md").read_text().partition(SECTION)[2]
    rows = re.findall(r"^\| (.+?) \| (.*?) \| (.*?) \|.*\|$", text, re.MULTILINE)
    return {fault: (said, status) for fault, said, status in rows}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TrainFiles:
    return tiny_row.make(tmp_path_factory.mktemp("row"))


@pytest.fixture(scope="module")
def undisturbed(files: TrainFiles, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    made = Lab(tmp_path_factory.mktemp("undisturbed"), files)
    assert made.stage() == ("", 0)
    return made


def as_written(seen: Seen) -> tuple[str, str]:
    """The cells of the table."""
    return seen.said or "nothing", str(seen.status)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_fault(
    fault: Callable[[Lab], Seen],
    files: TrainFiles,
    undisturbed: Lab,
    documented: dict[str, tuple[str, str]],
    tmp_path: Path,
) -> None:
    lab = Lab(tmp_path, files)
    seen = fault(lab)
    assert as_written(seen) == documented.get(fault.__doc__ or "")
    if "delete FOLDER/done.json" in seen.said:
        assert lab.stage() == seen  # and so until it is deleted
        (lab.folder / "done.json").unlink()
    assert lab.stage() == ("", 0)
    assert lab.result() == undisturbed.result()
    assert not list(lab.folder.rglob(".*.aside")) and not list(lab.folder.glob("checkpoint*"))


def test_loss_that_is_never_finite(
    files: TrainFiles, tmp_path: Path, documented: dict[str, tuple[str, str]]
) -> None:
    """Each run ends at the same iteration, and the checkpoint before it stays finite."""
    lab = Lab(tmp_path, files)
    lab.job = replace(lab.job, settings=tiny_row.training("camvid-fcn", optimizer={"learning_rate": 1e30}))
    for _ in range(2):
        assert as_written(lab.stage()) == documented["a learning rate at which the loss diverges"]
    assert tiny_row.reached(lab.root / "jobs" / lab.job.key / "checkpoint.pt") == 1


def test_evaluation_of_changed_weights(
    files: TrainFiles, undisturbed: Lab, tmp_path: Path, documented: dict[str, tuple[str, str]]
) -> None:
    """Wherever it finds them: here where the stage of the training left them."""
    lab = Lab(tmp_path, files)
    model = Path(shutil.copy(undisturbed.root / "out" / "model.safetensors", tmp_path))
    where = tiny_row.evaluation_files(files, model)
    job = Job(EVALUATE, tiny_row.evaluation(), 0, where=where, row=tiny_row.ROW)
    flip(model)
    expected = documented["flipped bytes in the weights that an evaluation reads"]
    assert as_written(lab.stage(job)) == expected
    shutil.copy(undisturbed.root / "out" / "model.safetensors", model)
    assert lab.stage(job) == ("", 0)


def test_every_row_of_the_table_is_tested(documented: dict[str, tuple[str, str]]) -> None:
    alone = {
        "a learning rate at which the loss diverges",
        "flipped bytes in the weights that an evaluation reads",
    }
    assert {fault.__doc__ for fault in FAULTS} | alone <= documented.keys()
