"""Adoption of a training: only by a proof on the same inputs and device, and whole or not at all."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import sgr.files
from sgr.cli import adopt as command
from sgr.errors import UserError
from sgr.files import read_json, sha256_file, write_json
from sgr.jobs.job import Code, Job
from sgr.jobs.provenance import launched
from sgr.jobs.store import JobStore
from sgr.jobs.worker import work
from sgr.kinds import TRAIN
from sgr.project import PROJECT
from sgr.training import proof
from sgr.training.settings import TrainFiles
from tests import tiny_row
from tests.scratch import files_under

pytestmark = pytest.mark.usefixtures("on_the_cpu")


def todays_code() -> Code:
    """That of this checkout."""
    code: Code = tiny_row.entries()[f"train/{tiny_row.ROW}"].code
    return code


def of_other_code(number: int) -> Code:
    """As if two of the files had been others."""
    others = {"sgr/losses.py": f"{number:016x}", "sgr/training/loop.py": f"{number:016x}"}
    code = todays_code()
    assert others.keys() < code.sources.keys()
    return replace(code, sources={**code.sources, **others})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TrainFiles:
    return tiny_row.make(tmp_path_factory.mktemp("row"))


@pytest.fixture(scope="module")
def former(files: TrainFiles) -> Job:
    """A job of the code of yesterday."""
    inputs = {"manifest": sha256_file(files.manifest)}
    settings = tiny_row.training(loop={"iterations": 6})
    return Job(TRAIN, settings, 0, inputs, of_other_code(1), files, row=tiny_row.ROW, threads=1)


@pytest.fixture(scope="module")
def trained(former: Job, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A job store in which it has finished."""
    root = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        work(JobStore(root).prepare(former, launched("inline", None, PROJECT)), tee=False)
    yield root


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> JobStore:
    """A copy of that."""
    return JobStore(shutil.copytree(trained, tmp_path / "jobs"))


@pytest.fixture
def today(former: Job) -> Job:
    """The same job of today's code."""
    return replace(former, code=todays_code())


def refused(store: JobStore, job: Job) -> str:
    """Why, if nothing of the store has changed by trying."""
    before = files_under(store.root)
    with pytest.raises(UserError) as raised:
        command.adopted(store, job)
    assert files_under(store.root) == before and not store.folder(job).exists()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def is_adopted(store: JobStore, former: Job, job: Job) -> bool:
    """Whether the job has finished, with the bits of the former."""
    one, other = store.folder(former), store.folder(job)
    return store.finished(job) and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in TRAIN.artefacts
    )


def test_adopted_after_the_proof(store: JobStore, former: Job, today: Job) -> None:
    before = files_under(store.folder(former))
    said = command.adopted(store, today)
    assert is_adopted(store, former, today)
    assert files_under(store.folder(former)) == before
    record = read_json(store.folder(today) / "provenance.json")["adopted"]
    assert (record["origin"], record["from"], record["iterations"]) == (former.key, former.key, [1, 2, 5])
    assert record["losses"] == ["concept_cosine", "concept_dice", "concept_focal", "loss", "segmentation"]
    assert record["sources"] == ["sgr/losses.py", "sgr/training/loop.py"]
    assert record["device"] == "cpu" and record["tensors"] > 100
    # the rest of the provenance is that of the training
    provenance = read_json(store.folder(former) / "provenance.json")
    assert read_json(store.folder(today) / "provenance.json") == {**provenance, "adopted": record}
    assert said == (
        f"adopted {former.key} as {today.key}: {record['tensors']} tensors and 5 losses equal after iterations "
        "1, 2, 5; changed: sgr/losses.py, sgr/training/loop.py"
    )
    assert Job.load(store.folder(today)).key == today.key
    # nothing was trained
    assert not (store.folder(today) / "attempts.txt").exists()
    assert command.adopted(store, today) == "nothing to adopt, it has finished with today's code"


def test_what_was_adopted_keeps_its_first_identity(store: JobStore, former: Job, today: Job) -> None:
    """However often: what was made from the first result stays."""
    other = replace(former, code=of_other_code(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sgr.jobs.snapshot.check_code", lambda *_: None)  # that code is nowhere
        command.adopted(store, other)
    # the folder that is newer by its clock comes first
    os.utime(store.folder(former) / "done.json", (1, 1))
    command.adopted(store, today)
    record = read_json(store.folder(today) / "provenance.json")["adopted"]
    assert (record["origin"], record["from"]) == (former.key, other.key)
    assert store.identity(today) == store.identity(other) == store.identity(former) == former.key
    assert is_adopted(store, former, today) and is_adopted(store, former, other)


def test_short_training_is_proved_by_what_it_has(
    store: JobStore, files: TrainFiles, former: Job, today: Job
) -> None:
    """Fewer than five iterations, and then the last one counts."""
    settings = tiny_row.training(loop={"iterations": 3})
    short, now = (replace(job, settings=settings) for job in (former, today))
    work(store.prepare(short, launched("inline", None, PROJECT)), tee=False)
    assert "after iterations 1, 2;" in command.adopted(store, now)
    assert is_adopted(store, short, now)


# Refused


NO_CANDIDATE = "no finished training has its settings, inputs and libraries: `dvc repro` trains it"


@pytest.mark.parametrize("what", ["settings", "inputs", "seed", "libraries"])
def test_more_than_other_sources_is_no_candidate(store: JobStore, today: Job, what: str) -> None:
    changes: dict[str, Any] = {
        "settings": {"settings": replace(today.settings, beta=0.25)},
        "inputs": {"inputs": {"manifest": "0" * 64}},
        "seed": {"seed": 1},
        "libraries": {"code": replace(today.code, libraries={**today.code.libraries, "torch": "1.0"})},
    }
    assert refused(store, replace(today, **changes[what])) == NO_CANDIDATE


def test_result_of_another_device(store: JobStore, former: Job, today: Job) -> None:
    edit(store.folder(former) / "provenance.json", device="NVIDIA A100")
    assert refused(store, today) == (
        f"{former.key}: it was trained on NVIDIA A100, and this machine has cpu: adopt it on a machine of that kind"
    )
    edit(store.folder(former) / "provenance.json", device=...)
    assert "it was trained on an unknown device" in refused(store, today)


def test_result_of_two_ranks(store: JobStore, former: Job, today: Job) -> None:
    edit(store.folder(former) / "provenance.json", ranks=2)
    assert refused(store, today) == (
        f"{former.key}: it was trained on 2 ranks, whose sums one process cannot repeat bit for bit"
    )


def edit(file: Path, **changes: Any) -> None:
    """Set keys of a JSON file; ... deletes one."""
    content = {**read_json(file), **changes}
    write_json(file, {key: value for key, value in content.items() if value is not ...})
    record(file)


def record(file: Path) -> None:
    """List a file of a finished job in its done.json as it is now."""
    done = read_json(file.parent / "done.json")
    written = {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
    write_json(file.parent / "done.json", {**done, file.name: written})


@pytest.mark.parametrize(
    "what, name", [("losses", "loss concept_focal"), ("tensors", "tensor unit.reduce.bias (momentum_buffer)")]
)
@pytest.mark.parametrize("iteration", ["1", "2", "5"])
def test_one_bit_of_one_iteration(
    store: JobStore, former: Job, today: Job, iteration: str, what: str, name: str
) -> None:
    file = store.folder(former) / "fingerprint.json"
    bits = read_json(file)
    bits[iteration][what][name.partition(" ")[2]] = "0" * 16
    file.write_bytes(sgr.files._json(bits))
    record(file)
    assert refused(store, today) == (
        f"{former.key}: it does not train the same: iteration {iteration}: {name} differs"
    )


def test_fingerprint_of_other_iterations(
    store: JobStore, today: Job, former: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgr.training.fingerprint.ITERATIONS", (1, 3, 5))
    assert refused(store, today) == (
        f"{former.key}: its fingerprint is of iterations 1, 2, 5, that of today's code of 1, 3, 5"
    )


def test_device_that_does_not_repeat_itself(
    store: JobStore, former: Job, today: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a GPU without deterministic kernels: that two runs differ says nothing of the code there."""
    edit(store.folder(former) / "provenance.json", device="a GPU")
    monkeypatch.setattr(proof, "device_name", lambda: "a GPU")
    original, calls = proof.fingerprint, 0

    def noisy(job: Job, last: int) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        found = original(job, last)
        found["2"]["losses"]["loss"] = f"noise {calls}"
        return found

    monkeypatch.setattr(proof, "fingerprint", noisy)
    assert refused(store, today) == (
        f"{former.key}: nothing can be proved on a GPU, which does not repeat itself: iteration 2: loss loss "
        "differs between two runs of today's code"
    )
    monkeypatch.setattr(proof, "fingerprint", original)
    command.adopted(store, today)
    assert is_adopted(store, former, today)


def test_plan_of_other_code_than_runs(store: JobStore, former: Job) -> None:
    """The proof is made by the code that is imported: only to its own key may it lead."""
    said = refused(store, replace(former, code=of_other_code(2)))
    assert said == ("sgr/losses.py changed since the plan was made: run dvc repro plan, then this again")


def test_damaged_artefact(store: JobStore, former: Job, today: Job) -> None:
    """Of the size it had: found when it is copied, and then there is no new result."""
    file = store.folder(former) / "model.safetensors"
    file.write_bytes(bytes([1]) + file.read_bytes()[1:])
    with pytest.raises(UserError, match="changed after its job finished"):
        command.adopted(store, today)
    assert not store.finished(today) and store.identity(today) == today.key


def test_another_candidate_is_tried(store: JobStore, former: Job, today: Job) -> None:
    """The newest is of another device; the first proves to be the same."""
    newer = replace(former, code=of_other_code(2))
    shutil.copytree(store.folder(former), store.folder(newer))
    newer.save(store.folder(newer))
    edit(store.folder(newer) / "provenance.json", device="NVIDIA A100")
    os.utime(store.folder(former) / "done.json", (1, 1))
    command.adopted(store, today)
    assert read_json(store.folder(today) / "provenance.json")["adopted"]["from"] == former.key


# Killed


def attempt(root: Path, job: Job, kill_at: int | str | None = None) -> Any:
    """A process that adopts; it kills itself before the file of this number, or name, that it writes is there."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["sgr.training.segmentation", "sgr.unit", "sgr.losses", "dvc.repo", __name__]
    )
    process = context.Process(target=_adopt, args=(root, job, kill_at))
    process.start()
    return process


def _adopt(root: Path, job: Job, kill_at: int | str | None) -> None:
    torch.cuda.is_available = lambda: False
    replaced, number = os.replace, 0

    def counted(*arguments: Any) -> None:
        nonlocal number
        number += 1
        if kill_at in (number, Path(arguments[1]).name):
            os.kill(os.getpid(), signal.SIGKILL)
        replaced(*arguments)

    sgr.files.os.replace = counted  # type: ignore[attr-defined]
    command.adopted(JobStore(root), job)
    (root / "written.txt").write_text(str(number))


def is_as_before(store: JobStore, former: Job, job: Job, before: dict[str, bytes]) -> bool:
    """The old result is whole, and the new key has none."""
    return (
        files_under(store.folder(former)) == before
        and store.finished(former)
        and not store.finished(job)
        and (store.identity(former), store.identity(job)) == (former.key, job.key)
    )


def test_killed_before_any_of_its_files_it_leaves_the_old_state(
    store: JobStore, former: Job, today: Job, tmp_path: Path
) -> None:
    """The last is done.json: killed there, all artefacts lie in the new folder, and it is none yet."""
    before = files_under(store.folder(former))
    whole = shutil.copytree(store.root, tmp_path / "whole")
    process = attempt(whole, today)
    process.join()
    written = int((whole / "written.txt").read_text())
    assert written >= 3 + 3 + len(TRAIN.artefacts) + 2  # fingerprints, the job, and two about the result
    for kill_at in range(1, written + 1):
        root = JobStore(shutil.copytree(store.root, tmp_path / str(kill_at)))
        process = attempt(root.root, today, kill_at)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert is_as_before(root, former, today, before), kill_at
        again = attempt(root.root, today)
        again.join()
        assert again.exitcode == 0 and is_adopted(root, former, today), kill_at
        assert root.identity(today) == former.key
        assert files_under(root.folder(former)) == before


def test_killed_between_artefacts_and_done_it_can_be_trained_instead(
    store: JobStore, former: Job, today: Job
) -> None:
    """Then it is a result of its own, and no adopted one."""
    process = attempt(store.root, today, kill_at="done.json")
    process.join()
    folder = store.folder(today)
    assert all((folder / name).exists() for name in (*TRAIN.artefacts, "provenance.json"))
    assert not (folder / "done.json").exists() and not store.finished(today)
    work(folder, tee=False)  # a job that was queued meanwhile
    assert is_adopted(store, former, today)  # the same bits
    assert store.identity(today) == today.key
    assert "adopted" not in read_json(folder / "provenance.json")


def test_killed_from_outside_at_random_moments(store: JobStore, former: Job, today: Job) -> None:
    before = files_under(store.folder(former))
    rehearsal = JobStore(shutil.copytree(store.root, store.root.with_name("rehearsal")))
    began = time.monotonic()
    attempt(rehearsal.root, today).join()
    seconds = time.monotonic() - began
    moments = random.Random(0)
    for _ in range(8):
        process = attempt(store.root, today)
        time.sleep(moments.uniform(0, seconds))
        process.kill()
        process.join()
        if store.finished(today):  # the kill came late
            assert is_adopted(store, former, today)
            shutil.rmtree(store.folder(today))
        assert is_as_before(store, former, today, before)
    command.adopted(store, today)
    assert is_adopted(store, former, today) and store.identity(today) == former.key
