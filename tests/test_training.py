"""The training job: what it writes and starts from, its schedule and rates, and rows that differ in one thing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sgr.errors import UserError
from sgr.files import read_json
from sgr.kinds import TRAIN
from sgr.models.network import Output, build
from sgr.training.optimizer import build_optimizer, polynomial
from sgr.training.segmentation import loss_weights, train
from sgr.training.settings import OptimizerSettings, TrainFiles
from tests import tiny_row
from tests.few_steps import curve, example, network_of, network_of_cells

pytestmark = pytest.mark.usefixtures("on_the_cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TrainFiles:
    return tiny_row.make(tmp_path_factory.mktemp("row"))


# The job


def test_job_writes_weights_and_curve(files: TrainFiles, tmp_path: Path) -> None:
    settings = tiny_row.training()
    train(settings, files, 0, tmp_path)
    assert all((tmp_path / name).is_file() for name in TRAIN.artefacts)
    network = build(settings.network, settings.concept_loss)
    weights = loss_weights(network, settings.beta)
    state = load_file(tmp_path / "model.safetensors")
    assert state.keys() == network.state_dict().keys()
    assert any(name.endswith("running_var") for name in state)
    assert all(value.isfinite().all() for value in state.values())
    rows = curve(tmp_path)
    assert [row["iteration"] for row in rows] == [2, 4, 6, 8, 9]
    assert list(rows[0]) == ["iteration", "learning_rate", "loss", *weights]
    for row in rows:
        assert row["loss"] == pytest.approx(sum(weights[name] * row[name] for name in weights), rel=1e-5)
        warmed = min(1, row["iteration"] / 3)  # 2 warm-up iterations
        factor = warmed * (1 - (row["iteration"] - 1) / 9) ** 0.9
        assert row["learning_rate"] == pytest.approx(0.02 * factor)
    assert not (tmp_path / "checkpoint.pt").exists()
    measured = read_json(tmp_path / "measured.json")
    assert (measured["device"], measured["ranks"]) == ("cpu", 1)
    assert measured["parameters"] == sum(p.numel() for p in network.parameters())


def test_start_from_pretrained_weights(files: TrainFiles, tmp_path: Path) -> None:
    """The file holds `backbone.body`; after one step at a rate of nearly zero the network still has it."""
    settings = tiny_row.training(loop={"iterations": 1}, optimizer={"learning_rate": 1e-30})
    body = build(settings.network).backbone.body
    given = {name: torch.rand_like(value.float()) for name, value in body.state_dict().items()}
    save_file(given, tmp_path / "weights.safetensors")
    train(settings, replace(files, weights=tmp_path / "weights.safetensors"), 0, tmp_path)
    trained = load_file(tmp_path / "model.safetensors")
    assert len(list(body.named_parameters())) > 10
    for name, _ in body.named_parameters():
        assert torch.equal(trained[f"backbone.body.{name}"], given[name])


def test_loss_that_is_not_finite(files: TrainFiles, tmp_path: Path) -> None:
    settings = tiny_row.training("camvid-fcn", optimizer={"learning_rate": 1e30})
    with pytest.raises(
        UserError,
        match=r"^the loss segmentation is not finite at iteration 2: run it again, which resumes from the last "
        r"checkpoint, and if it ends so again, lower the learning rate$",
    ):
        train(settings, files, 0, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


# Schedule and rates


@pytest.mark.parametrize("warmup", [0, 3])
def test_polynomial_schedule(warmup: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = polynomial(optimizer, 20, 0.9, warmup)
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    for iteration, rate in enumerate(rates):
        expected = 0.5 * (1 - iteration / 20) ** 0.9
        if iteration < warmup:
            expected *= (iteration + 1) / (warmup + 1)
        assert rate == pytest.approx(expected, rel=1e-12)
    assert all(first < second for first, second in pairwise(rates[: warmup + 1]))
    assert all(first > second for first, second in pairwise(rates[warmup:]))
    assert schedule.get_last_lr()[0] == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("row", ["camvid-fcn-sgr", "camvid-fcn-glore", "ade20k-deeplabv3"])
def test_head_and_unit_learn_at_ten_times_the_rate(optimizer: str, row: str) -> None:
    network = network_of(row)
    settings = OptimizerSettings(
        optimizer,  # type: ignore[arg-type]
        learning_rate=0.01,
        head_multiplier=10,
        momentum=0.9,
        weight_decay=1e-4,
    )
    built = build_optimizer(network, settings)
    rates = {id(p): group["lr"] for group in built.param_groups for p in group["params"]}
    assert len(rates) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.01 if name.startswith("backbone.") else 0.1), name
    assert all(group["weight_decay"] == 1e-4 for group in built.param_groups)
    if optimizer == "sgd":
        assert all(group["momentum"] == 0.9 for group in built.param_groups)


# Paired rows


@pytest.mark.parametrize("row", ["camvid-fcn-glore", "camvid-fcn-sgr", "camvid-fcn-sgr-no-token-supervision"])
def test_rows_that_differ_in_the_unit_start_from_the_same_backbone_and_head(row: str) -> None:
    plain, with_unit = (network_of(name).state_dict() for name in ("camvid-fcn", row))
    assert plain.keys() == {name for name in with_unit if not name.startswith("unit.")} < with_unit.keys()
    assert all(torch.equal(plain[name], with_unit[name]) for name in plain)


def test_output_is_what_the_head_said() -> None:
    """A network is backbone, unit, head, and nothing else."""
    network, images = network_of_cells(), example(2)["image"]
    output = network(images)
    assert isinstance(output, Output) and output.unit is None
    assert torch.equal(output.prediction.logits, network.head(network.backbone(images)).logits)
