"""Sinkhorn's algorithm: items shared evenly among the clusters of their group (ProtoSeg's online clustering).

Dimensions: N items, G groups, K clusters of each group.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sgr import ranks


def sinkhorn(similarity: Tensor, group: Tensor, groups: int, *, kappa: float, iterations: int) -> Tensor:
    """For each group the assignment that maximises similarity + kappa * entropy under equal shares (Cuturi, 2013).

    Each iteration first gives every cluster of a group the same share of its items, then makes every item sum to one,
    so that the latter is exact and the former is approached. All groups at once, by logarithms: no kappa overflows.
    Where ranks share a batch, the items of a group are those of all of them.

    Args:
        similarity: (N, K), of each item to the clusters of its own group.
        group: (N,) integers below `groups`; groups may be empty.
        kappa: weight of the entropy; the smaller, the closer to 0 and 1.

    Returns:
        (N, K), each row sums to one. An item alone in its group is shared evenly.
    """
    logarithm = similarity / kappa
    for _ in range(iterations):
        logarithm = logarithm - _logsumexp(logarithm, group, groups)[group]
        logarithm = logarithm.log_softmax(1)
    return logarithm.exp()


def _logsumexp(x: Tensor, group: Tensor, groups: int) -> Tensor:
    """log sum exp over the rows (N, K) of each group: (G, K), minus infinity where a group is empty."""
    peak = x.new_full((groups, x.shape[1]), -torch.inf)
    peak = ranks.largest(peak.scatter_reduce(0, group[:, None].expand_as(x), x, "amax"))
    return peak + ranks.total(torch.zeros_like(peak).index_add(0, group, (x - peak[group]).exp())).log()
