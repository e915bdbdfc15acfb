"""The training loop: accumulation, clipping, precision, compilation, and the losses that its curve tells."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import SGD

from sgr.training import checkpoint
from tests.few_steps import (
    example,
    fit_few,
    gradients_of_one_step,
    network_of_cells,
    without_dropout,
)
from tests.tiny_row import ROW

pytestmark = pytest.mark.usefixtures("on_the_cpu")


@pytest.mark.parametrize("row", ["camvid-fcn", "camvid-fcn-sgr"])
def test_accumulation_is_the_mean_of_the_gradients_of_the_halves(row: str) -> None:
    """Batch norm in training mode: each half has its own statistics, in either case. Dropout off."""
    network, batch = without_dropout(row), example(4)
    together = gradients_of_one_step(network, batch, accumulate=2)
    halves = [
        gradients_of_one_step(network, {name: values[half] for name, values in batch.items()}, accumulate=1)
        for half in (slice(0, 2), slice(2, 4))
    ]
    assert len(together) == len(list(network.parameters()))
    for accumulated, first, second in zip(together, *halves, strict=True):
        torch.testing.assert_close(accumulated, (first + second) / 2, rtol=1e-5, atol=1e-7)


def test_accumulation_equals_the_whole_batch_without_batch_norm() -> None:
    """All pixels labelled, so that both halves weigh the same."""
    network, batch = network_of_cells(), example(4, every_pixel=True)
    once, twice, four = (gradients_of_one_step(network, batch, parts) for parts in (1, 2, 4))
    assert len(once) == 4
    torch.testing.assert_close(twice, once, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(four, once, rtol=1e-5, atol=1e-7)


def test_gradient_clip_limits_the_norm_of_all_gradients_together() -> None:
    batch = example(4, every_pixel=True)
    norms = []
    for limit in (0.0, 1e-3, 1e3):
        network = network_of_cells()
        fit_few(network, batch, optimizer=SGD(network.parameters(), lr=0.0), gradient_clip=limit)
        norms.append(torch.cat([p.grad.flatten() for p in network.parameters()]).norm().item())
    assert norms[0] > 1e-3 and norms[2] == pytest.approx(norms[0])
    assert norms[1] == pytest.approx(1e-3, rel=1e-4)


def test_accumulated_losses_in_the_curve_are_means() -> None:
    network, batch = network_of_cells(), example(4, every_pixel=True)
    still: Any = {"optimizer": SGD(network.parameters(), lr=0.0), "log_every": 3}
    one = fit_few(network, batch, 3, accumulate=1, **still)
    two = fit_few(network, batch, 3, accumulate=2, **still)
    assert len(one) == len(two) == 1
    assert one[0] == pytest.approx(two[0], rel=1e-5)
    assert one[0]["loss"] == one[0]["segmentation"]


@pytest.mark.parametrize("row", ["camvid-fcn-sgr", "camvid-fcn-glore", "ade20k-deeplabv3-sgr"])
def test_bf16_and_channels_last_train(row: str) -> None:
    """From the same start as fp32 they begin with nearly its losses, and learn; parameters stay fp32.

    Dropout off, as its mask depends on the memory format.
    """
    batch = example(4)
    reference: list[dict[str, float]] = []
    for precision, channels_last in (("fp32", False), ("fp32", True), ("bf16", False), ("bf16", True)):
        network = without_dropout(row)
        if channels_last:
            network.to(memory_format=torch.channels_last)
        optimizer = SGD(network.parameters(), lr=0.1)
        rows = fit_few(network, batch, 8, optimizer, precision=precision, channels_last=channels_last)
        assert all(p.dtype == torch.float32 and bool(p.isfinite().all()) for p in network.parameters())
        assert len(rows) == 8 and rows[-1]["segmentation"] < 0.9 * rows[0]["segmentation"]
        reference = reference or rows
        tolerance = 1e-4 if precision == "fp32" else 3e-2
        assert rows[0] == pytest.approx(reference[0], rel=tolerance, abs=tolerance)


def test_torch_compile_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """The traced network gives the eager losses, and its checkpoints have the same names.

    Traced forward and backward, but not lowered to C++: that takes half a minute of a core, even for one convolution.
    """
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    batch = example(2)
    curves = []
    for compiled in (False, True):
        network = without_dropout(ROW)
        names = list(network.state_dict())
        curves.append(fit_few(network, batch, 3, compile=compiled))
        assert list(network.state_dict()) == names
    assert len(curves[0]) == 3
    for eager, traced in zip(*curves, strict=True):
        assert traced == pytest.approx(eager, rel=1e-3, abs=1e-5)


def test_checkpoint_between_two_rows_of_the_curve_has_the_losses_since_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a resumed run would log another mean."""
    done: list[tuple[int, bool]] = []

    def save(path: Any, network: Any, optimizer: Any, schedule: Any, iteration: int, *state: Any) -> None:
        _, sums = state
        done.append((iteration, "loss" in sums))

    monkeypatch.setattr(checkpoint, "save", save)
    fit_few(network_of_cells(), example(2), 5, checkpoint_seconds=0, log_every=3)
    assert done == [(1, True), (2, True), (3, False), (4, True)]
