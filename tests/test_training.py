"""Training: two runs give the same bits, killed or not; schedule, rates and the sum of losses are the paper's."""

from __future__ import annotations

import csv
import shutil
import signal
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from sgr.models.heads.pixels import OfLastMap, PixelHead
from sgr.models.network import Network, Output, weighted_sum
from sgr.training import checkpoint
from sgr.training.loop import fit
from sgr.training.optimizer import build_optimizer, polynomial
from sgr.training.segmentation import build_with_loss, train
from tests import tiny_row

KILLED = -signal.SIGKILL


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    """Where the same bits are promised; and the threads and determinism that jobs set are put back."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    return tiny_row.make(tmp_path_factory.mktemp("row"))


@pytest.fixture(scope="module", params=["sgd", "adamw"])
def uninterrupted(request, where, tmp_path_factory):
    """The spec of a row with SGR and the folder where it trained in one go, with a rate that suits the optimizer."""
    rate = {"sgd": 0.02, "adamw": 0.001}[request.param]
    spec = tiny_row.spec(optimizer=request.param, learning_rate=rate)
    folder = tmp_path_factory.mktemp(request.param)
    assert tiny_row.train_in_process(spec, where, folder) == 0
    return spec, folder


def same(first: Path, second: Path) -> bool:
    """Weights (parameters and the buffers of batch norm) and curve, bit for bit."""
    return all(
        (first / name).read_bytes() == (second / name).read_bytes()
        for name in ("model.safetensors", "curve.csv")
    )


def curve(folder: Path) -> list[dict[str, float]]:
    with open(folder / "curve.csv") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def live_steps(folder: Path) -> dict[str, list[int]]:
    """Steps in each of DVCLive's files."""
    steps = {}
    for path in (folder / "dvclive").rglob("*.tsv"):
        with open(path) as file:
            steps[path.stem] = [int(row["step"]) for row in csv.DictReader(file, delimiter="\t")]
    return steps


# The job


def test_job_writes_weights_and_curve(where, tmp_path):
    spec = tiny_row.spec()
    assert train(spec, where, tmp_path) == ["model.safetensors", "curve.csv"]
    network, weights = build_with_loss(spec["plan"]["network"], 11, spec["plan"]["concept_loss"])
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


def test_two_runs_are_the_same_bytes_and_another_seed_is_not(uninterrupted, where, tmp_path):
    spec, folder = uninterrupted
    assert tiny_row.train_in_process(spec, where, tmp_path / "again") == 0
    assert same(folder, tmp_path / "again")
    assert tiny_row.train_in_process(spec | {"seed": 1}, where, tmp_path / "other") == 0
    first, second = (load_file(f / "model.safetensors") for f in (folder, tmp_path / "other"))
    assert not torch.equal(first["head.decoder.0.weight"], second["head.decoder.0.weight"])


def test_start_from_pretrained_weights(where, tmp_path):
    """The file holds `backbone.body`; after one step at a rate of nearly zero the network still has it."""
    from safetensors.torch import save_file

    spec = tiny_row.spec(iterations=1, learning_rate=1e-30)
    network, _ = build_with_loss(spec["plan"]["network"], 11, None)
    given = {
        name: torch.rand_like(value.float()) for name, value in network.backbone.body.state_dict().items()
    }
    save_file(given, tmp_path / "weights.safetensors")
    train(spec, where | {"weights": str(tmp_path / "weights.safetensors")}, tmp_path)
    trained = load_file(tmp_path / "model.safetensors")
    for name, _ in network.backbone.body.named_parameters():
        assert torch.equal(trained[f"backbone.body.{name}"], given[name])


# Killed and resumed


def test_killed_once_and_resumed(uninterrupted, where, tmp_path):
    spec, folder = uninterrupted
    assert tiny_row.train_in_process(spec, where, tmp_path, die_at_step=6) == KILLED
    assert (tmp_path / "checkpoint.pt").exists()
    assert not (tmp_path / "model.safetensors").exists()
    assert tiny_row.train_in_process(spec, where, tmp_path) == 0
    assert same(folder, tmp_path)


def test_killed_again_and_again_with_other_numbers_of_workers(uninterrupted, where, tmp_path):
    """Before any checkpoint, at an iteration after one, while one is written, and again after that."""
    spec, folder = uninterrupted
    assert tiny_row.train_in_process(spec, where, tmp_path, die_at_step=1) == KILLED
    assert not (tmp_path / "checkpoint.pt").exists()
    parallel = where | {"loader_workers": 2}
    assert tiny_row.train_in_process(spec, parallel, tmp_path, die_at_step=4) == KILLED
    assert tiny_row.train_in_process(spec, where, tmp_path, die_while_saving=2) == KILLED
    assert list(tmp_path.glob(".checkpoint.pt.*.aside"))
    assert tiny_row.train_in_process(spec, where, tmp_path, die_at_step=1) == KILLED
    assert tiny_row.train_in_process(spec, parallel, tmp_path) == 0
    assert same(folder, tmp_path)
    steps = live_steps(tmp_path)
    assert {"loss", "learning_rate", "segmentation", "concept_cosine"} <= steps.keys()
    assert all(found == [2, 4, 6, 8, 9] for found in steps.values())


def test_killed_from_outside_at_any_moment(where, tmp_path):
    spec = tiny_row.spec(iterations=31, log_every=1)
    assert tiny_row.train_in_process(spec, where, tmp_path / "whole") == 0
    for _ in range(2):
        process = tiny_row.start(spec, where, tmp_path / "killed")
        before = _written(tmp_path / "killed" / "checkpoint.pt")
        while _written(tmp_path / "killed" / "checkpoint.pt") == before and process.is_alive():
            time.sleep(0.01)
        process.kill()
        process.join()
        assert process.exitcode == KILLED
    assert tiny_row.train_in_process(spec, where, tmp_path / "killed") == 0
    assert same(tmp_path / "whole", tmp_path / "killed")
    assert set(map(tuple, live_steps(tmp_path / "killed").values())) == {tuple(range(1, 32))}


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def test_terminated_it_writes_a_checkpoint_first(uninterrupted, where, tmp_path):
    spec, folder = uninterrupted
    rarely = where | {"checkpoint_seconds": 1e9}
    assert tiny_row.train_in_process(spec, rarely, tmp_path, terminate_at_step=5) == -signal.SIGTERM
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["iteration"] == 5
    assert tiny_row.train_in_process(spec, rarely, tmp_path) == 0
    assert same(folder, tmp_path)


def test_half_written_checkpoint_beside_the_name_is_ignored(uninterrupted, where, tmp_path):
    spec, folder = uninterrupted
    (tmp_path / ".checkpoint.pt.abc.aside").write_bytes(b"PK\x03\x04 half a checkpoint")
    assert tiny_row.train_in_process(spec, where, tmp_path) == 0
    assert same(folder, tmp_path)


def test_resume_after_the_end_trains_nothing_anew(uninterrupted, where, tmp_path):
    """A job that is run twice, as SLURM may do, ends with the same files."""
    spec, folder = uninterrupted
    shutil.copytree(folder, tmp_path / "twice")
    assert tiny_row.train_in_process(spec, where, tmp_path / "twice") == 0
    assert same(folder, tmp_path / "twice")


def test_checkpoint_restores_every_state(tmp_path):
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
    checkpoint.save(tmp_path / "c.pt", network, optimizer, schedule, 3, rows, sums)
    expected = torch.rand(5)

    torch.manual_seed(1)
    other = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5))
    optimizer2 = torch.optim.AdamW(other.parameters(), lr=0.1)
    schedule2 = polynomial(optimizer2, 10, 0.9, 0)
    assert checkpoint.resume(tmp_path / "absent.pt", other, optimizer2, schedule2) == (0, [], {})
    assert checkpoint.resume(tmp_path / "c.pt", other, optimizer2, schedule2) == (3, rows, sums)
    assert torch.equal(torch.rand(5), expected)
    assert schedule2.get_last_lr() == schedule.get_last_lr()
    for (name, first), second in zip(network.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(first, second), name
    states = zip(
        optimizer.state_dict()["state"].values(), optimizer2.state_dict()["state"].values(), strict=True
    )
    assert all(torch.equal(first[name], second[name]) for first, second in states for name in first)


# Schedule and rates


@pytest.mark.parametrize("warmup", [0, 3])
def test_polynomial_schedule(warmup):
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
def test_head_and_component_learn_at_ten_times_the_rate(optimizer, row):
    network, _ = build_with_loss(tiny_row.entry("train", row)["network"], 11, None)
    built = build_optimizer(
        network, optimizer=optimizer, learning_rate=0.01, head_multiplier=10, momentum=0.9, weight_decay=1e-4
    )
    rates = {id(p): group["lr"] for group in built.param_groups for p in group["params"]}
    assert len(rates) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.01 if name.startswith("backbone.") else 0.1), name
    assert all(group["weight_decay"] == 1e-4 for group in built.param_groups)
    if optimizer == "sgd":
        assert all(group["momentum"] == 0.9 for group in built.param_groups)


def test_sum_of_losses_by_hand():
    losses = {"segmentation": torch.tensor(3.0), "concept_dice": torch.tensor(5.0)}
    assert weighted_sum(losses, {"segmentation": 1.0, "concept_dice": 0.5}).item() == 5.5


@pytest.mark.parametrize("weights", [{"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}, {}])
def test_losses_and_weights_must_pair(weights):
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(1.0)}
    odd = sorted(losses.keys() ^ weights.keys())
    with pytest.raises(KeyError) as raised:
        weighted_sum(losses, weights)
    assert str(odd) in str(raised.value)


@pytest.mark.parametrize("beta, rho, gamma", [(1.0, 1.0, 1.0), (0.5, 2.0, 0.25), (0.5, 2.0, 0.0)])
def test_weights_of_the_terms_are_those_of_equations_6_and_7(beta, rho, gamma):
    """beta times ConceptLoss as one number is the weighted sum of its named terms."""
    plan = tiny_row.entry("train")
    network, weights = build_with_loss(
        plan["network"], 11, plan["concept_loss"] | {"beta": beta, "rho": rho, "gamma": gamma}
    )
    images, labels, components = example(2, (32, 40))
    output = network(images)
    losses = network.losses(output, labels, components)
    assert losses.keys() == weights.keys()
    concept = network.concept_loss(output.unit.concept_logits, components)
    expected = losses["segmentation"] + beta * concept
    torch.testing.assert_close(weighted_sum(losses, weights), expected)


# The loop


def example(B: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels (some ignored) and components, random but of blocks."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (B, 3, *size), dtype=torch.uint8, generator=generator)
    blocks = torch.randint(0, 12, (B, 1, 4, 5), generator=generator).float()
    labels = F.interpolate(blocks, size)[:, 0].to(torch.uint8)
    labels[labels == 11] = 255
    components = F.interpolate(torch.arange(20).remainder(7).view(1, 1, 4, 5).float(), size)[:, 0]
    return images, labels, components.expand(B, *size).to(torch.int16)


def fit_few(
    network: Network, batches: list[Any], optimizer: Any = None, **changes: Any
) -> list[dict[str, float]]:
    """Rows that `fit` logs over these batches."""
    rows: list[dict[str, float]] = []
    optimizer = optimizer or torch.optim.SGD(network.parameters(), lr=0.01)
    names = network.losses(network.eval()(batches[0]["image"]), batches[0]["label"], batches[0]["components"])
    settings = {
        "weights": dict.fromkeys(names, 1.0),
        "start": 0,
        "iterations": len(batches),
        "accumulate": 1,
        "gradient_clip": 0.0,
        "precision": "fp32",
        "channels_last": False,
        "compiled": False,
        "device": torch.device("cpu"),
        "log_every": 1,
        "log": rows.append,
        "checkpoint": lambda done: None,
        "checkpoint_seconds": 1e9,
        "title": "test",
    }
    schedule = polynomial(optimizer, len(batches), 0.9, 0)
    fit(network, batches, optimizer, schedule, **settings | changes)
    return rows


def as_batch(images: Tensor, labels: Tensor, components: Tensor) -> dict[str, Tensor]:
    return {"image": images, "label": labels, "components": components}


def gradients_of_one_step(network: Network, batch: dict[str, Tensor], accumulate: int) -> list[Tensor]:
    fit_few(network, [batch], torch.optim.SGD(network.parameters(), lr=0.0), accumulate=accumulate)
    return [parameter.grad.clone() for parameter in network.parameters()]


def without_dropout(row: str) -> Network:
    torch.manual_seed(0)
    plan = tiny_row.entry("train", row)
    network, _ = build_with_loss(plan["network"], 11, plan["concept_loss"])
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


@pytest.mark.parametrize("row", ["camvid-fcn", "camvid-fcn-sgr"])
def test_accumulation_is_the_mean_of_the_gradients_of_the_halves(row):
    """Batch norm in training mode: each half has its own statistics, in either case. Dropout off."""
    network = without_dropout(row)
    images, labels, components = example(4, (32, 40))
    together = gradients_of_one_step(network, as_batch(images, labels, components), accumulate=2)
    halves = [
        gradients_of_one_step(network, as_batch(images[half], labels[half], components[half]), accumulate=1)
        for half in (slice(0, 2), slice(2, 4))
    ]
    for accumulated, first, second in zip(together, *halves, strict=True):
        torch.testing.assert_close(accumulated, (first + second) / 2, rtol=1e-5, atol=1e-7)


class Cells(nn.Module):
    """A backbone of one convolution and no batch norm."""

    def __init__(self, stride: int = 8) -> None:
        super().__init__()
        self.stride, self.channels = stride, [6]
        self.conv = nn.Conv2d(3, 6, stride, stride)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.conv(images / 255)]


def test_accumulation_equals_the_whole_batch_without_batch_norm():
    """All pixels labelled, so that both halves weigh the same."""
    torch.manual_seed(0)
    network = Network(Cells(), None, PixelHead(OfLastMap(), nn.Conv2d(6, 11, 1)), None)
    images, labels, components = example(4, (32, 40))
    batch = as_batch(images, labels.clamp_max(10), components)
    once, twice, four = (gradients_of_one_step(network, batch, parts) for parts in (1, 2, 4))
    torch.testing.assert_close(twice, once, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(four, once, rtol=1e-5, atol=1e-7)


def test_gradient_clip_limits_the_norm_of_all_gradients_together():
    torch.manual_seed(0)
    images, labels, components = example(4, (32, 40))
    batch = as_batch(images, labels.clamp_max(10), components)
    norms = []
    for limit in (0.0, 1e-3, 1e3):
        torch.manual_seed(0)
        network = Network(Cells(), None, PixelHead(OfLastMap(), nn.Conv2d(6, 11, 1)), None)
        fit_few(network, [batch], torch.optim.SGD(network.parameters(), lr=0.0), gradient_clip=limit)
        norms.append(torch.cat([p.grad.flatten() for p in network.parameters()]).norm().item())
    assert norms[0] > 1e-3 and norms[2] == pytest.approx(norms[0])
    assert norms[1] == pytest.approx(1e-3, rel=1e-4)


def test_accumulated_losses_in_the_curve_are_means():
    torch.manual_seed(0)
    network = Network(Cells(), None, PixelHead(OfLastMap(), nn.Conv2d(6, 11, 1)), None)
    images, labels, components = example(4, (32, 40))
    batch = as_batch(images, labels.clamp_max(10), components)
    rates = {"optimizer": torch.optim.SGD(network.parameters(), lr=0.0), "log_every": 3}
    one = fit_few(network, [batch] * 3, accumulate=1, **rates)
    two = fit_few(network, [batch] * 3, accumulate=2, **rates)
    assert len(one) == len(two) == 1
    assert one[0] == pytest.approx(two[0], rel=1e-5)
    assert one[0]["loss"] == one[0]["segmentation"]


@pytest.mark.parametrize("row", ["camvid-fcn-sgr", "camvid-fcn-glore", "ade20k-deeplabv3-sgr"])
def test_bf16_and_channels_last_train(row):
    """From the same start as fp32 they begin with nearly its losses, and learn; parameters stay fp32.

    Dropout off, as its mask depends on the memory format.
    """
    batch = as_batch(*example(4, (32, 40)))
    reference: list[dict[str, float]] = []
    for precision, channels_last in (("fp32", False), ("fp32", True), ("bf16", False), ("bf16", True)):
        network = without_dropout(row)
        if channels_last:
            network.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        rows = fit_few(network, [batch] * 8, optimizer, precision=precision, channels_last=channels_last)
        assert all(p.dtype == torch.float32 and bool(p.isfinite().all()) for p in network.parameters())
        assert rows[-1]["segmentation"] < 0.9 * rows[0]["segmentation"]
        reference = reference or rows
        tolerance = 1e-4 if precision == "fp32" else 3e-2
        assert rows[0] == pytest.approx(reference[0], rel=tolerance, abs=tolerance)


def test_torch_compile_trains(monkeypatch):
    """The traced network gives the eager losses, and its checkpoints have the same names.

    Traced forward and backward, but not lowered to C++: that takes half a minute of a core, even for one convolution.
    """
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    batch = as_batch(*example(2, (32, 40)))
    curves = []
    for compiled in (False, True):
        network = without_dropout(tiny_row.ROW)
        names = list(network.state_dict())
        curves.append(fit_few(network, [batch] * 3, compiled=compiled))
        assert list(network.state_dict()) == names
    for eager, traced in zip(*curves, strict=True):
        assert traced == pytest.approx(eager, rel=1e-3, abs=1e-5)


def test_loss_that_is_not_finite(where, tmp_path):
    spec = tiny_row.spec("camvid-fcn", learning_rate=1e30)
    with pytest.raises(
        FloatingPointError, match=r"^the loss is not finite at iteration \d: lower the learning rate$"
    ):
        train(spec, where, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_checkpoint_between_two_rows_of_the_curve_has_the_losses_since_the_first():
    """Otherwise a resumed run would log another mean."""
    torch.manual_seed(0)
    done: list[tuple[int, bool]] = []
    sums: dict[str, Tensor] = {}
    network = Network(Cells(), None, PixelHead(OfLastMap(), nn.Conv2d(6, 11, 1)), None)
    batch = as_batch(*example(2, (32, 40)))
    fit_few(
        network,
        [batch] * 5,
        log_every=3,
        sums=sums,
        checkpoint=lambda iteration: done.append((iteration, "loss" in sums)),
        checkpoint_seconds=0,
    )
    assert done == [(1, True), (2, True), (3, False), (4, True)]


# Paired rows


@pytest.mark.parametrize("row", ["camvid-fcn-glore", "camvid-fcn-sgr", "camvid-fcn-sgr-no-token-supervision"])
def test_rows_that_differ_in_the_component_start_from_the_same_backbone_and_head(row):
    states = []
    for name in ("camvid-fcn", row):
        plan = tiny_row.entry("train", name)
        torch.manual_seed(5)
        states.append(build_with_loss(plan["network"], 11, plan["concept_loss"])[0].state_dict())
    plain, with_component = states
    assert plain.keys() == {name for name in with_component if not name.startswith("unit.")}
    assert all(torch.equal(plain[name], with_component[name]) for name in plain)


def test_output_is_what_the_head_said():
    """A network is backbone, unit, head, and nothing else."""
    torch.manual_seed(0)
    network = Network(Cells(), None, PixelHead(OfLastMap(), nn.Conv2d(6, 11, 1)), None)
    images, _, _ = example(2, (32, 40))
    output = network(images)
    assert isinstance(output, Output) and output.unit is None
    assert torch.equal(output.prediction.logits, network.head(network.backbone(images)).logits)
