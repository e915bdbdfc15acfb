"""Two runs of a training give the same bits, killed or not; another seed does not."""

from __future__ import annotations

import csv
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sgr.kinds import TRAIN
from sgr.training import checkpoint
from sgr.training.optimizer import polynomial
from sgr.training.settings import TrainFiles, TrainSettings
from tests import tiny_row

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TrainFiles:
    return tiny_row.make(tmp_path_factory.mktemp("row"))


@pytest.fixture(scope="module", params=["sgd", "adamw"])
def uninterrupted(
    request: pytest.FixtureRequest, files: TrainFiles, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainSettings, Path]:
    """A row with SGR and the folder where it trained in one go, with a rate that suits the optimizer."""
    rate = {"sgd": 0.02, "adamw": 0.001}[request.param]
    settings = tiny_row.training(optimizer={"optimizer": request.param, "learning_rate": rate})
    folder = tmp_path_factory.mktemp(request.param)
    assert tiny_row.train_in_process(settings, files, folder) == 0
    return settings, folder


def same(first: Path, second: Path) -> bool:
    """Weights (parameters and the buffers of batch norm), curve and fingerprint, bit for bit."""
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in TRAIN.artefacts)


def with_workers(files: TrainFiles, number: int) -> TrainFiles:
    return replace(files, run=replace(files.run, loader_workers=number))


def live_steps(folder: Path) -> dict[str, list[int]]:
    """Steps in each of DVCLive's files."""
    steps = {}
    for path in (folder / "dvclive").rglob("*.tsv"):
        with open(path) as file:
            steps[path.stem] = [int(row["step"]) for row in csv.DictReader(file, delimiter="\t")]
    return steps


def test_two_runs_are_the_same_bytes_and_another_seed_is_not(
    uninterrupted: tuple[TrainSettings, Path], files: TrainFiles, tmp_path: Path
) -> None:
    settings, folder = uninterrupted
    assert tiny_row.train_in_process(settings, files, tmp_path / "again") == 0
    assert same(folder, tmp_path / "again")
    assert tiny_row.train_in_process(settings, files, tmp_path / "other", seed=1) == 0
    first, second = (load_file(f / "model.safetensors") for f in (folder, tmp_path / "other"))
    assert not torch.equal(first["head.decoder.0.weight"], second["head.decoder.0.weight"])


def test_killed_once_and_resumed(
    uninterrupted: tuple[TrainSettings, Path], files: TrainFiles, tmp_path: Path
) -> None:
    settings, folder = uninterrupted
    assert tiny_row.train_in_process(settings, files, tmp_path, die_at_step=6) == KILLED
    assert (tmp_path / "checkpoint.pt").exists()
    assert not (tmp_path / "model.safetensors").exists()
    assert tiny_row.train_in_process(settings, files, tmp_path) == 0
    assert same(folder, tmp_path)


def test_killed_again_and_again_with_other_numbers_of_workers(
    uninterrupted: tuple[TrainSettings, Path], files: TrainFiles, tmp_path: Path
) -> None:
    """Before any checkpoint, at an iteration after one, while one is written, and again after that."""
    settings, folder = uninterrupted
    assert tiny_row.train_in_process(settings, files, tmp_path, die_at_step=1) == KILLED
    assert not (tmp_path / "checkpoint.pt").exists()
    parallel = with_workers(files, 2)
    assert tiny_row.train_in_process(settings, parallel, tmp_path, die_at_step=4) == KILLED
    assert tiny_row.train_in_process(settings, files, tmp_path, die_while_saving=2) == KILLED
    assert list(tmp_path.glob(".checkpoint.pt.*.aside"))
    assert tiny_row.train_in_process(settings, files, tmp_path, die_at_step=1) == KILLED
    assert tiny_row.train_in_process(settings, parallel, tmp_path) == 0
    assert same(folder, tmp_path)
    steps = live_steps(tmp_path)
    assert {"loss", "learning_rate", "segmentation", "concept_cosine"} <= steps.keys()
    assert all(found == [2, 4, 6, 8, 9] for found in steps.values())


def test_killed_from_outside_at_any_moment(files: TrainFiles, tmp_path: Path) -> None:
    settings = tiny_row.training(loop={"iterations": 31, "log_every": 1})
    assert tiny_row.train_in_process(settings, files, tmp_path / "whole") == 0
    for _ in range(2):
        process = tiny_row.start(settings, files, tmp_path / "killed")
        before = _written(tmp_path / "killed" / "checkpoint.pt")
        while _written(tmp_path / "killed" / "checkpoint.pt") == before and process.is_alive():
            time.sleep(0.01)
        process.kill()
        process.join()
        assert process.exitcode == KILLED
    assert tiny_row.train_in_process(settings, files, tmp_path / "killed") == 0
    assert same(tmp_path / "whole", tmp_path / "killed")
    assert set(map(tuple, live_steps(tmp_path / "killed").values())) == {tuple(range(1, 32))}


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def test_terminated_it_writes_a_checkpoint_first(
    uninterrupted: tuple[TrainSettings, Path], files: TrainFiles, tmp_path: Path
) -> None:
    settings, folder = uninterrupted
    rarely = replace(files, run=replace(files.run, checkpoint_seconds=1e9))
    assert tiny_row.train_in_process(settings, rarely, tmp_path, terminate_at_step=5) == -signal.SIGTERM
    assert tiny_row.reached(tmp_path / "checkpoint.pt") == 5
    assert tiny_row.train_in_process(settings, rarely, tmp_path) == 0
    assert same(folder, tmp_path)


def test_half_written_checkpoint_beside_the_name_is_ignored(
    uninterrupted: tuple[TrainSettings, Path], files: TrainFiles, tmp_path: Path
) -> None:
    settings, folder = uninterrupted
    (tmp_path / ".checkpoint.pt.abc.aside").write_bytes(b"PK\x03\x04 half a checkpoint")
    assert tiny_row.train_in_process(settings, files, tmp_path) == 0
    assert same(folder, tmp_path)


def test_resume_after_the_end_trains_nothing_anew(
    uninterrupted: tuple[TrainSettings, Path], files: TrainFiles, tmp_path: Path
) -> None:
    """A job that is run twice, as SLURM may do, ends with the same files."""
    settings, folder = uninterrupted
    shutil.copytree(folder, tmp_path / "twice")
    assert tiny_row.train_in_process(settings, files, tmp_path / "twice") == 0
    assert same(folder, tmp_path / "twice")


def test_checkpoint_restores_every_state(tmp_path: Path) -> None:
    """Parameters, buffers, momenta, schedule, generator, curve and the losses not yet in it."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    schedule = polynomial(optimizer, 10, 0.9, 0)
    for _ in range(3):
        network(torch.rand(2, 1, 3, 3)).square().sum().backward()
        optimizer.step()
        schedule.step()
    rows, sums = [{"iteration": 3, "loss": 0.1}], {"loss": torch.tensor(0.3)}
    checkpoint.save(tmp_path, network, optimizer, schedule, 3, rows, sums)
    expected = torch.rand(5)

    torch.manual_seed(1)
    other = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5))
    optimizer2 = torch.optim.AdamW(other.parameters(), lr=0.1)
    schedule2 = polynomial(optimizer2, 10, 0.9, 0)
    assert checkpoint.resume(tmp_path / "absent", other, optimizer2, schedule2, 10) == (0, [], {})
    assert checkpoint.resume(tmp_path, other, optimizer2, schedule2, 10) == (3, rows, sums)
    assert torch.equal(torch.rand(5), expected)
    assert schedule2.get_last_lr() == schedule.get_last_lr()
    for (name, first), second in zip(network.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(first, second), name
    states = zip(
        optimizer.state_dict()["state"].values(), optimizer2.state_dict()["state"].values(), strict=True
    )
    assert all(torch.equal(first[name], second[name]) for first, second in states for name in first)
