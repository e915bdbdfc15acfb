"""Sinkhorn's algorithm against its definition: equal shares, sums of one, and the most similarity under them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from sgr.sinkhorn import sinkhorn


def by_scaling(similarity: np.ndarray, kappa: float, iterations: int) -> np.ndarray:
    """diag(u) exp(similarity / kappa) diag(v) of one group, in float64: (n, K)."""
    n, K = similarity.shape
    kernel = np.exp(similarity.astype(np.float64) / kappa)
    u = np.ones(n)
    for _ in range(iterations):
        v = (n / K) / (u @ kernel)
        u = 1 / (kernel @ v)
    return u[:, None] * kernel * v


def example(*sizes: int, K: int = 4) -> tuple[Tensor, Tensor]:
    """Cosines of items in groups of these sizes, mixed up, and the group of each."""
    generator = torch.Generator().manual_seed(0)
    group = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    group = group[torch.randperm(len(group), generator=generator)]
    return 2 * torch.rand(len(group), K, generator=generator, dtype=torch.float64) - 1, group


@pytest.mark.parametrize("iterations", [1, 3, 20])
@pytest.mark.parametrize("kappa", [0.05, 1.0])
def test_each_group_is_the_scaled_kernel_of_its_own_items(iterations, kappa):
    similarity, group = example(30, 0, 7, 2, 1)
    shares = sinkhorn(similarity, group, 6, kappa=kappa, iterations=iterations)
    for g in (0, 2, 3, 4):
        expected = by_scaling(similarity[group == g].numpy(), kappa, iterations)
        np.testing.assert_allclose(shares[group == g].numpy(), expected, rtol=1e-9, atol=1e-15)
    single = sinkhorn(similarity.float(), group, 6, kappa=kappa, iterations=iterations)
    torch.testing.assert_close(single, shares.float(), rtol=1e-4, atol=1e-6)


def test_items_sum_to_one_and_clusters_have_equal_shares():
    similarity, group = example(40, 9)
    shares = sinkhorn(similarity, group, 2, kappa=0.05, iterations=3)
    torch.testing.assert_close(shares.sum(1), torch.ones(49, dtype=torch.float64))
    shares = sinkhorn(similarity, group, 2, kappa=0.05, iterations=2000)
    for g, size in enumerate((40, 9)):
        torch.testing.assert_close(shares[group == g].sum(0), torch.full((4,), size / 4, dtype=torch.float64))


def test_a_small_kappa_finds_the_best_even_assignment():
    """Of 12 items each of 4 clusters takes 3, so that the sum of similarities is the largest possible."""
    similarity, group = example(12)
    items, slots = linear_sum_assignment(-similarity.repeat(1, 3).numpy())
    expected = torch.zeros(12, dtype=torch.int64)
    expected[torch.from_numpy(items)] = torch.from_numpy(slots % 4)
    shares = sinkhorn(similarity, group, 1, kappa=0.002, iterations=5000)
    assert torch.equal(shares.argmax(1), expected)
    assert torch.equal(expected.bincount(), torch.full((4,), 3))
    assert not torch.equal(similarity.argmax(1), expected)  # the nearest cluster is not the answer


def test_tiny_kappa_neither_overflows_nor_vanishes():
    similarity, group = example(12, 5)
    shares = sinkhorn(similarity.float(), group, 2, kappa=1e-4, iterations=3)
    assert shares.isfinite().all()
    torch.testing.assert_close(shares.sum(1), torch.ones(17))


def test_fewer_items_than_clusters_share_them():
    similarity, group = example(2, K=4)
    shares = sinkhorn(similarity, group, 1, kappa=0.5, iterations=2000)
    torch.testing.assert_close(shares.sum(0), torch.full((4,), 0.5, dtype=torch.float64))
    torch.testing.assert_close(shares.sum(1), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_single_item_is_shared_evenly_and_exactly(dtype):
    """So that argmax takes the first cluster, and not one that rounding chooses."""
    similarity, group = example(1, K=4)
    shares = sinkhorn(similarity.to(dtype), group, 1, kappa=0.05, iterations=3)
    torch.testing.assert_close(shares, torch.full((1, 4), 0.25, dtype=dtype))
    assert shares.argmax(1).item() == 0
    assert len(shares.unique()) == 1


def test_equal_similarities_are_shared_evenly():
    shares = sinkhorn(torch.full((6, 3), 0.7), torch.zeros(6, dtype=torch.int64), 1, kappa=0.05, iterations=3)
    torch.testing.assert_close(shares, torch.full((6, 3), 1 / 3))


def test_nothing_to_assign():
    shares = sinkhorn(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 2, kappa=0.05, iterations=3)
    assert shares.shape == (0, 3)
