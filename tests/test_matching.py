"""Eq. 5 pair by pair, and the two stages of Figure 3 against every possible assignment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sgr.matching import match_concepts, matching_cost
from tests import reference


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("K, C, N", [(4, 3, 10), (1, 1, 1), (3, 0, 5), (2, 5, 7)])
@pytest.mark.parametrize("rho, alpha, gamma", [(1, 0.25, 2), (0, 0.25, 2), (3.5, 0.6, 0), (1, 0.5, 1)])
def test_equation_5(K: int, C: int, N: int, rho: float, alpha: float, gamma: float) -> None:
    logits, masks = 3 * random(2, K, N), (random(2, C, N, seed=1) > 0).double()
    cost = matching_cost(logits, masks, rho, alpha, gamma)
    assert cost.shape == (2, K, C)
    for b in range(2):
        expected = reference.cost(logits[b].numpy(), masks[b].numpy(), rho, alpha, gamma)
        np.testing.assert_allclose(cost[b].numpy(), expected, atol=1e-8)
    single = matching_cost(logits.float(), masks.float(), rho, alpha, gamma)
    torch.testing.assert_close(single, cost.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-20.0, 20.0])
def test_equation_5_at_the_edges(share: float, logit: float) -> None:
    logits, masks = torch.full((1, 1, 6), logit, dtype=torch.float64), torch.full((1, 1, 6), share).double()
    expected = reference.cost(logits[0].numpy(), masks[0].numpy())
    np.testing.assert_allclose(matching_cost(logits, masks)[0].numpy(), expected, atol=1e-5)


def test_equation_5_does_not_overflow() -> None:
    """A cell wrong by logit 1000 costs 0.25 * 1000 inside a mask and 0.75 * 1000 outside, in float32."""
    logits, masks = torch.tensor([[[-1000.0]], [[1000.0]]]), torch.tensor([[[1.0]], [[0.0]]])
    assert matching_cost(logits, masks, rho=0).flatten().tolist() == [250.0, 750.0]
    assert matching_cost(-logits, masks, rho=0).flatten().tolist() == [0.0, 0.0]


def test_equation_5_by_hand() -> None:
    """Two cells at probability 1/2, one of them inside: focal (1/4 + 3/4) / 2 / 4 log 2, dice 1 - 2 / 3."""
    cost = matching_cost(torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0.0]]]), rho=2.0)
    assert cost.item() == pytest.approx(np.log(2) / 8 + 2 / 3)


def test_gradient_of_the_cost() -> None:
    masks = (random(2, 3, 5, seed=1) > 0).double()
    assert torch.autograd.gradcheck(lambda x: matching_cost(x, masks, 1.5), random(2, 4, 5).requires_grad_())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "K, C, L", [(6, 3, 5), (6, 3, 3), (5, 4, 5), (4, 1, 2), (6, 1, 6), (3, 3, 3), (4, 0, 2)]
)
def test_figure_3(K: int, C: int, L: int, seed: int) -> None:
    cost = random(K, C, seed=seed)
    matched = match_concepts(cost, L)
    assert matched.dtype == torch.int64
    assert matched.tolist() == reference.match(cost.numpy(), L).tolist()
    assert (matched >= 0).sum() == (L if C else 0)
    assert set(matched.tolist()) - {-1} == set(range(C))


def test_figure_3_by_hand() -> None:
    """The best pair of concept 0 is given up for the best sum, and concept 3 alone is left out."""
    cost = torch.tensor([[1.0, 2.0], [1.5, 9.0], [5.0, 3.0], [6.0, 7.0]])
    assert match_concepts(cost, 2).tolist() == [1, 0, -1, -1]
    assert match_concepts(cost, 3).tolist() == [1, 0, 1, -1]


@pytest.mark.parametrize("K, C, L", [(6, 3, 5), (4, 4, 4), (5, 1, 3)])
def test_ties_go_to_the_lower_index(K: int, C: int, L: int) -> None:
    matched = match_concepts(torch.zeros(K, C), L).tolist()
    assert matched == [*range(C), *[0] * (L - C), *[-1] * (K - L)]


def test_ties_of_small_integers() -> None:
    """Where costs repeat, the assignment is still a best one."""
    for seed in range(20):
        cost = random(5, 3, seed=seed).mul(2).round()
        matched = match_concepts(cost, 3).numpy()
        expected = reference.match(cost.numpy(), 3)
        total = [sum(cost[i, j] for i, j in enumerate(m) if j >= 0) for m in (matched, expected)]
        assert total[0] == total[1] and (matched >= 0).sum() == 3


def test_batched_equals_one_by_one_with_padding() -> None:
    """Columns past an image's own components are ignored, whatever they hold."""
    cost = random(4, 7, 4)
    counts = torch.tensor([4, 0, 2, 1])
    cost[2, :, 2:] = float("nan")
    matched = match_concepts(cost, 5, counts)
    for b, count in enumerate(counts.tolist()):
        assert matched[b].tolist() == match_concepts(cost[b, :, :count], 5).tolist()
    assert matched[1].tolist() == [-1] * 7


def test_order_of_concepts_and_components_is_free() -> None:
    cost, rows, columns = random(6, 3), torch.tensor([4, 1, 0, 5, 2, 3]), torch.tensor([2, 0, 1])
    matched = match_concepts(cost, 5)
    permuted = match_concepts(cost[rows][:, columns], 5)
    assert [-1 if j < 0 else int(columns[j]) for j in permuted] == matched[rows].tolist()


def test_empty_batch() -> None:
    assert match_concepts(torch.zeros(0, 4, 2), 3).shape == (0, 4)


def test_low_precision_and_gradient_do_not_matter() -> None:
    cost = random(6, 3)
    expected = match_concepts(cost.bfloat16().double(), 5)
    assert torch.equal(match_concepts(cost.bfloat16().requires_grad_(), 5), expected)


def test_too_many_active_concepts() -> None:
    with pytest.raises(ValueError, match=r"L = 5 .* K = 4"):
        match_concepts(torch.zeros(4, 2), 5)


def test_more_components_than_active_concepts() -> None:
    with pytest.raises(ValueError, match="L = 2"):
        match_concepts(torch.zeros(4, 3), 2)
    with pytest.raises(ValueError, match="L = 2"):
        match_concepts(torch.zeros(2, 4, 3), 2, torch.tensor([3, 1]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_cost_that_is_not_finite(value: float) -> None:
    cost = torch.zeros(2, 4, 2)
    cost[1, 3, 0] = value
    with pytest.raises(FloatingPointError, match="not finite"):
        match_concepts(cost, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu() -> None:
    cost = random(3, 6, 3)
    matched = match_concepts(cost.cuda(), 5)
    assert matched.is_cuda
    assert torch.equal(matched.cpu(), match_concepts(cost, 5))
