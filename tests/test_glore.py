"""The GloRe unit against the formulas of its paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from sgr.glore import GloRe
from tests import reference

SHAPES = [(2, 3, 4, 5), (1, 2, 1, 6), (1, 2, 5, 1), (3, 1, 2, 2)]


def unit(channels: int, K: int = 4, D: int = 6) -> GloRe:
    """A unit in float64 that is no longer the identity."""
    torch.manual_seed(0)
    module = GloRe(channels, K, D).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        assert module.norm.running_mean is not None and module.norm.running_var is not None
        module.norm.running_mean.normal_()
        module.norm.running_var.uniform_(0.5, 2)
    return module


def features(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def parameters(module: GloRe) -> dict[str, Any]:
    return {name: value.clone().numpy() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_equations(shape: tuple[int, ...], training: bool) -> None:
    module, x = unit(shape[1]).train(training), features(*shape)
    expected = reference.glore(x.numpy(), parameters(module), training)
    for ours, theirs in zip(module(x), expected, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-8, atol=1e-8)


def test_one_cell() -> None:
    module, x = unit(2).eval(), features(1, 2, 1, 1)
    expected = reference.glore(x.numpy(), parameters(module))
    np.testing.assert_allclose(module(x).features.detach().numpy(), expected[0], atol=1e-8)


def test_fresh_unit_is_the_identity() -> None:
    module, x = GloRe(6, 5, 8), 100 * features(2, 6, 5, 4).float()
    for mode in (True, False):
        assert torch.equal(module.train(mode)(x).features, x)


@pytest.mark.parametrize("training", [True, False])
def test_gradients(training: bool) -> None:
    module = unit(2, 3, 3).train(training)
    names = [name for name, _ in module.named_parameters()]
    inputs = [p.detach().clone().requires_grad_() for p in module.parameters()]

    def forward(x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return tuple(functional_call(module, dict(zip(names, values, strict=True)), (x,)))

    assert torch.autograd.gradcheck(forward, (features(2, 2, 2, 3).requires_grad_(), *inputs))


def test_batched_equals_one_by_one() -> None:
    module, x = unit(3).eval(), features(3, 3, 4, 5)
    together = module(x)
    for b in range(3):
        for ours, alone in zip(together, module(x[b : b + 1]), strict=True):
            torch.testing.assert_close(ours[b : b + 1], alone, rtol=1e-10, atol=1e-10)


def test_order_of_the_cells_is_free() -> None:
    """GloRe has no positions: shuffling the cells shuffles the result."""
    module, x = unit(3).eval(), features(1, 3, 4, 5)
    shuffle = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    shuffled = x.flatten(2)[:, :, shuffle].reshape(x.shape)
    expected = module(x).features.flatten(2)[:, :, shuffle].reshape(x.shape)
    torch.testing.assert_close(module(shuffled).features, expected)


def test_bfloat16_autocast() -> None:
    module, x = unit(6).float().eval(), features(2, 6, 9, 11).float()
    exact = module(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = module(x)
    for ours, theirs in zip(rounded, exact, strict=True):
        assert ours.isfinite().all()
        assert (ours - theirs).abs().max() < 0.05 * theirs.abs().max()


@pytest.mark.parametrize("name", ["channels", "K", "D"])
def test_sizes_below_one(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        GloRe(**{"channels": 4, "K": 3, "D": 8, name: 0})


def test_state_round_trip() -> None:
    module, fresh, x = unit(3).eval(), GloRe(3, 4, 6).double().eval(), features(1, 3, 2, 2)
    fresh.load_state_dict(module.state_dict(), strict=True)
    assert torch.equal(fresh(x).features, module(x).features)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu() -> None:
    module, x = unit(6).eval(), features(2, 6, 5, 4)
    expected = module(x)
    for ours, theirs in zip(module.cuda()(x.cuda()), expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-9, atol=1e-9)
