"""Matching concept regions to connected components: Eq. 5 and Figure 3.

Dimensions: B images, K concepts, C components, N cells, L active concepts an image.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F


def matching_cost(
    logits: Tensor, masks: Tensor, rho: float = 1.0, focal_alpha: float = 0.25, focal_gamma: float = 2.0
) -> Tensor:
    """Cost of Eq. 5 for every pair of a region and a component: focal + rho * dice, by matrix products.

    Args:
        logits: (B, K, N) concept logits.
        masks: (B, C, N) binary component masks, in the dtype of the logits.
        rho: weight of the dice term.
        focal_alpha, focal_gamma: of the focal loss (Lin et al., 2017), a mean over cells.

    Returns:
        (B, K, C).
    """
    p = logits.sigmoid()
    hit = focal_alpha * (1 - p) ** focal_gamma * F.softplus(-logits)  # the loss of a cell inside the mask
    miss = (1 - focal_alpha) * p**focal_gamma * F.softplus(logits)  # and outside
    inside = masks.transpose(1, 2)  # (B, N, C)
    focal = ((hit - miss) @ inside + miss.sum(-1, keepdim=True)) / logits.shape[-1]
    dice = 1 - (2 * (p @ inside) + 1) / (p.sum(-1, keepdim=True) + masks.sum(-1).unsqueeze(1) + 1)
    return focal + rho * dice


def match_concepts(cost: Tensor, L: int, counts: Tensor | None = None) -> Tensor:
    """Assign up to L concepts of an image to its components (Figure 3).

    First the Hungarian algorithm gives each component one concept. Then, of the concepts left over, the L - C with
    the lowest best cost go each to its best component. Ties go to the lower index.

    Args:
        cost: (B, K, C) or (K, C) costs.
        L: how many concepts are active in an image.
        counts: (B,) number of components of each image where it is below C; the columns after it are ignored.

    Returns:
        (B, K) or (K,) int64 on the device of `cost`: the component of each concept, -1 for the unsupervised ones.

    Raises:
        ValueError: if L > K, or if an image has more components than L or columns.
        FloatingPointError: if a cost is not finite.
    """
    if cost.dim() == 2:
        return match_concepts(cost.unsqueeze(0), L, counts).squeeze(0)
    B, K, C = cost.shape
    if K < L:
        raise ValueError(f"L = {L} concepts cannot be active when there are only K = {K}")
    sizes = np.full(B, C) if counts is None else counts.cpu().numpy()
    if sizes.max(initial=0) > C:
        raise ValueError(f"{sizes.max()} components, but the cost has {C} columns")
    if sizes.max(initial=0) > L:
        raise ValueError(f"{sizes.max()} components need at least as many active concepts, but L = {L}")
    table = cost.detach().double().cpu().numpy()
    matched = np.full((B, K), -1, dtype=np.int64)
    for image, size in enumerate(sizes):
        if size == 0:
            continue
        costs = table[image, :, :size]
        if not np.isfinite(costs).all():
            raise FloatingPointError(
                "a matching cost is not finite: the concept logits have diverged, lower the learning rate"
            )
        concepts, components = linear_sum_assignment(costs)
        matched[image, concepts] = components
        best = costs.min(axis=1)
        best[concepts] = np.inf  # taken already
        chosen = np.argsort(best, kind="stable")[: L - size]
        matched[image, chosen] = costs[chosen].argmin(axis=1)
    return torch.from_numpy(matched).to(cost.device)
