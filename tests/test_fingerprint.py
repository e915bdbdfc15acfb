"""The fingerprint of a training: every bit of its first iterations counts, and a kill changes none of it."""

from __future__ import annotations

import copy
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sgr.files import read_json, write_json
from sgr.training import checkpoint
from sgr.training.fingerprint import ITERATIONS, Fingerprint, difference, hashes
from sgr.training.segmentation import train
from sgr.training.settings import TrainFiles
from tests import tiny_row, tiny_transfer

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TrainFiles:
    return tiny_row.make(tmp_path_factory.mktemp("row"))


def network_and_optimizer(kind: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Two steps of training behind it."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        if kind == "sgd"
        else torch.optim.AdamW(network.parameters(), lr=0.1)
    )
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.rand(2, 1, 3, 3)).square().sum().backward()
        optimizer.step()
    return network, optimizer


@pytest.mark.parametrize(
    "kind, kept", [("sgd", ["momentum_buffer"]), ("adamw", ["exp_avg", "exp_avg_sq", "step"])]
)
def test_every_parameter_buffer_and_moment_is_hashed(kind: str, kept: list[str]) -> None:
    network, optimizer = network_and_optimizer(kind)
    moments = {f"{name} ({what})" for name, _ in network.named_parameters() for what in kept}
    before = hashes(network, optimizer)
    assert before.keys() == network.state_dict().keys() | moments
    assert all(len(found) == 16 for found in before.values())
    for name, tensor in [*network.state_dict().items(), *moment_tensors(network, optimizer)]:
        former = tensor.clone()
        with torch.no_grad():
            next_bit(tensor)
        after = hashes(network, optimizer)
        assert [which for which in before if before[which] != after[which]] == [name]
        with torch.no_grad():
            tensor.copy_(former)
    assert hashes(network, optimizer) == before


def moment_tensors(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[tuple[str, Tensor]]:
    return [
        (f"{name} ({kept})", value)
        for name, parameter in network.named_parameters()
        for kept, value in optimizer.state[parameter].items()
    ]


def next_bit(tensor: Tensor) -> None:
    """Change the first number by as little as its type can."""
    first = tensor.view(-1)[:1]
    step = torch.nextafter(first, torch.tensor(torch.inf)) if tensor.is_floating_point() else first + 1
    first.copy_(step)


def test_bits_type_and_shape_count_not_values() -> None:
    """-0 equals 0, and a NaN no NaN, but their bits say otherwise."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)

    def of(tensor: Tensor) -> str:
        holder = nn.Module()
        holder.register_buffer("x", tensor)
        return hashes(holder, optimizer)["x"]

    zeros = torch.zeros(2, 3)
    assert of(zeros) == of(zeros.clone()) == of(zeros.T.contiguous().T)
    others = [-zeros, zeros.double(), zeros.int(), zeros.view(3, 2), zeros.bfloat16(), zeros.bool()]
    assert len({of(zeros), *map(of, others)}) == 1 + len(others)
    nan = torch.tensor([torch.nan])
    assert of(nan) == of(nan.clone()) and of(torch.tensor(2)) != of(torch.tensor([2]))


def test_file_holds_the_first_iterations_with_exact_losses(tmp_path: Path) -> None:
    network, optimizer = network_and_optimizer("sgd")
    taken = Fingerprint(tmp_path / "fingerprint.json", 0)
    for iteration in range(1, 9):
        taken.take(iteration, network, optimizer, {"loss": torch.tensor(iteration / 3)})
        assert read_json(tmp_path / "fingerprint.json") == taken.taken
    written = read_json(tmp_path / "fingerprint.json")
    assert list(written) == [str(iteration) for iteration in ITERATIONS] == ["1", "2", "5"]
    for iteration, bits in written.items():
        assert float.fromhex(bits["losses"]["loss"]) == torch.tensor(int(iteration) / 3).item()
        assert bits["tensors"] == hashes(network, optimizer)


def test_resumed_run_takes_anew_what_its_checkpoint_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "fingerprint.json"
    bits = {number: {"losses": {"loss": number}, "tensors": {}} for number in ("1", "2", "5")}
    write_json(path, bits)
    assert Fingerprint(path, 5).taken == bits
    assert Fingerprint(path, 4).taken.keys() == Fingerprint(path, 2).taken.keys() == {"1", "2"}
    assert Fingerprint(path, 0).taken == {}
    assert Fingerprint(tmp_path / "none.json", 3).taken == {}


def example() -> dict[str, Any]:
    bits = {"losses": {"loss": "0x1p+0", "dice": "0x1p-1"}, "tensors": {"a": "11", "a (step)": "22"}}
    return {number: copy.deepcopy(bits) for number in ("1", "2", "10")}


def test_difference_names_the_first_iteration_and_what_differs() -> None:
    assert difference(example(), example()) is None
    other = example()
    other["10"]["losses"]["loss"] = "0x1p+1"
    assert difference(example(), other) == "iteration 10: loss loss"
    other["2"]["tensors"]["a (step)"] = "23"  # 2 comes before 10
    assert difference(example(), other) == difference(other, example()) == "iteration 2: tensor a (step)"
    other["2"]["losses"]["dice"] = "0x1p-2"
    assert difference(example(), other) == "iteration 2: loss dice"


@pytest.mark.parametrize("what, named", [("losses", "loss new"), ("tensors", "tensor new")])
def test_what_only_one_of_two_has_is_a_difference(what: str, named: str) -> None:
    other = example()
    other["1"][what]["new"] = "33"
    assert difference(example(), other) == difference(other, example()) == f"iteration 1: {named}"


# Of training jobs


def test_training_killed_at_iteration_3_has_the_fingerprint_of_one_that_was_not(
    files: TrainFiles, tmp_path: Path
) -> None:
    settings, whole, killed = tiny_row.training(), tmp_path / "whole", tmp_path / "killed"
    assert tiny_row.train_in_process(settings, files, whole) == 0
    assert tiny_row.train_in_process(settings, files, killed, die_at_step=3) == KILLED
    assert read_json(killed / "fingerprint.json").keys() == {"1", "2"}
    assert tiny_row.train_in_process(settings, files, killed) == 0
    expected = (whole / "fingerprint.json").read_bytes()
    assert (killed / "fingerprint.json").read_bytes() == expected
    # without a checkpoint it starts anew, over a fingerprint that is there
    rarely = replace(files, run=replace(files.run, checkpoint_seconds=1e9))
    again = tmp_path / "again"
    assert tiny_row.train_in_process(settings, rarely, again, die_at_step=3) == KILLED
    assert not (again / "checkpoint.pt").exists() and (again / "fingerprint.json").exists()
    assert tiny_row.train_in_process(settings, rarely, again) == 0
    assert (again / "fingerprint.json").read_bytes() == expected


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("iterations, taken", [(1, ["1"]), (3, ["1", "2"]), (5, ["1", "2", "5"])])
def test_short_training_has_as_much_as_it_has_iterations(
    files: TrainFiles, tmp_path: Path, iterations: int, taken: list[str]
) -> None:
    train(tiny_row.training(loop={"iterations": iterations}), files, 0, tmp_path)
    found = read_json(tmp_path / "fingerprint.json")
    assert list(found) == taken
    assert {"loss", "segmentation", "concept_dice"} <= found["1"]["losses"].keys()
    names = found["1"]["tensors"]
    assert {"unit.expand.weight", "unit.expand.weight (momentum_buffer)"} <= names.keys()


@pytest.mark.usefixtures("on_the_cpu")
def test_stopped_early_there_is_the_fingerprint_and_no_result(files: TrainFiles, tmp_path: Path) -> None:
    """The same bits as those of the whole training, whose schedule it keeps."""
    settings, stopped = tiny_row.training(), tmp_path / "stopped"
    train(settings, files, 0, tmp_path / "whole")
    for last in (5, 2):
        train(settings, replace(files, run=replace(files.run, stop_after=last)), 0, stopped)
        whole = read_json(tmp_path / "whole" / "fingerprint.json")
        assert read_json(stopped / "fingerprint.json") == {
            number: bits for number, bits in whole.items() if int(number) <= last
        }
        assert not (stopped / "model.safetensors").exists() and not (stopped / "curve.csv").exists()
        checkpoint.remove(stopped)


@pytest.mark.usefixtures("on_the_cpu")
def test_other_seeds_part_at_the_first_iteration(files: TrainFiles, tmp_path: Path) -> None:
    settings = tiny_row.training(loop={"iterations": 2})
    for seed in (0, 1):
        train(settings, files, seed, tmp_path / str(seed))
    first, second = (read_json(tmp_path / str(seed) / "fingerprint.json") for seed in (0, 1))
    assert (difference(first, second) or "").startswith("iteration 1: loss")


def test_transfer_has_one_too(tmp_path: Path) -> None:
    files, settings = tiny_transfer.make(tmp_path), tiny_transfer.transfer("coco-sgr")
    for name, deaths in (("whole", []), ("killed", [3])):
        for death in (*deaths, None):
            code = tiny_row.train_in_process(
                settings, files, tmp_path / name, kind="transfer", die_at_step=death
            )
            assert code == (KILLED if death else 0)
    whole, killed = (tmp_path / name / "fingerprint.json" for name in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()
    assert list(read_json(whole)) == ["1", "2", "5"]
