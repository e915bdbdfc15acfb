"""The concept loss: Eq. 6, weak supervision of concept regions by connected components.

Dimensions: B images, K concepts, C components, H x W pixels, h x w cells, N = h * w.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgr import ranks
from sgr.matching import match_concepts, matching_cost

Union = Literal["sum", "probabilistic"]
_EDGE = 1e-6  # probabilities this close to 0 or 1 count as such, so that logarithms stay finite


class ConceptLoss(nn.Module):
    """focal + rho * dice + gamma * cosine between regions and the components they are matched to (Eq. 6).

    Args:
        L: concepts active in an image; of more components than L the L largest are kept.
        rho: weight of the dice term, in the cost (Eq. 5) and in the loss.
        gamma: weight of the cosine term; 0 leaves it out.
        focal_alpha, focal_gamma: of the focal loss.
        union: the union of the regions of one component is their `sum` clipped to [0, 1], or `probabilistic`,
            1 - prod(1 - p), which never saturates.
    """

    def __init__(
        self,
        L: int = 64,
        *,
        rho: float = 1.0,
        gamma: float = 1.0,
        focal_alpha: float = 0.25,
        focal_gamma: float = 2.0,
        union: Union = "sum",
    ) -> None:
        super().__init__()
        if L < 1:
            raise ValueError(f"L must be at least 1, not {L}")
        if union not in ("sum", "probabilistic"):
            raise ValueError(f"union is 'sum' or 'probabilistic', not {union!r}")
        self.L, self.rho, self.gamma, self.union = L, rho, gamma, union
        self.focal_alpha, self.focal_gamma = focal_alpha, focal_gamma

    def forward(self, concept_logits: Tensor, components: Tensor) -> Tensor:
        """Eq. 6 as one number.

        Args:
            concept_logits: (B, K, h, w).
            components: (B, H, W) integers, 0 for no component (`sgr.connected_components`).
        """
        terms = self.terms(concept_logits, components)
        return terms["focal"] + self.rho * terms["dice"] + self.gamma * terms["cosine"]

    def terms(self, concept_logits: Tensor, components: Tensor) -> dict[str, Tensor]:
        """The terms of Eq. 6 by name, unweighted: `focal`, `dice` (a component each), `cosine` (a pair each).

        An image without components adds nothing; a batch without any gives zeros that carry a gradient. Where
        torch.distributed shares a batch among ranks, the mean over the ranks is the loss of the whole batch.
        """
        if len(concept_logits) != len(components):
            raise ValueError(
                f"{len(concept_logits)} maps of concept logits for {len(components)} maps of components"
            )
        with torch.autocast(concept_logits.device.type, enabled=False):
            dtype = torch.promote_types(concept_logits.dtype, torch.float32)
            logits = concept_logits.to(dtype).flatten(2)  # (B, K, N)
            size = (concept_logits.shape[2], concept_logits.shape[3])
            masks, counts = component_masks(components, size, self.L)
            masks = masks.to(dtype)  # (B, C, N)
            cost = matching_cost(logits.detach(), masks, self.rho, self.focal_alpha, self.focal_gamma)
            matched = match_concepts(cost, self.L, counts)  # (B, K)
            slots = torch.arange(masks.shape[1], device=matched.device)
            # (B, C, K): concept k is in component j
            member = (matched.unsqueeze(1) == slots[:, None]).to(dtype)
            real = (slots < counts.unsqueeze(1)).to(dtype)  # (B, C): padding is not
            number = ranks.divisor(real.sum())
            union, off = self._union(logits, member)
            return {
                "focal": (self._focal(union, off, masks) * real).sum() / number,
                "dice": (_dice(union, masks) * real).sum() / number,
                "cosine": _cosine(logits.sigmoid(), member),
            }

    def _union(self, logits: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
        """Union of the regions of each component, and the logarithm of its complement: (B, C, N) both."""
        if self.union == "probabilistic":
            off = -(member @ F.softplus(logits))  # log prod (1 - p)
            return -torch.expm1(off), off
        union = (member @ logits.sigmoid()).clamp(0, 1)
        return union, torch.log1p(-union.clamp_max(1 - _EDGE))

    def _focal(self, union: Tensor, off: Tensor, masks: Tensor) -> Tensor:
        """Focal loss of the union, a mean over cells: (B, C)."""
        hit = -self.focal_alpha * (1 - union) ** self.focal_gamma * union.clamp_min(_EDGE).log()
        miss = -(1 - self.focal_alpha) * union**self.focal_gamma * off
        return (masks * hit + (1 - masks) * miss).mean(-1)


def _dice(union: Tensor, masks: Tensor) -> Tensor:
    """1 - (2 sum(p m) + 1) / (sum p + sum m + 1), MaskFormer's smoothing: (B, C)."""
    return 1 - (2 * (union * masks).sum(-1) + 1) / (union.sum(-1) + masks.sum(-1) + 1)


def _cosine(regions: Tensor, member: Tensor) -> Tensor:
    """Mean cosine over ordered pairs i != k of one component: |sum_i u_i|^2 - sum_i |u_i|^2, so no K x K table."""
    units = F.normalize(regions, dim=-1)  # (B, K, N)
    members = member.sum(-1)  # (B, C)
    own = units.square().sum(-1, keepdim=True)  # 1, or 0 for a region that vanished
    total = (member @ units).square().sum(-1) - (member @ own).squeeze(-1)
    pairs = (members * (members - 1)).sum()
    return total.sum() / ranks.divisor(pairs)


def component_masks(components: Tensor, size: tuple[int, int], L: int) -> tuple[Tensor, Tensor]:
    """Binary masks of the components at feature resolution, each cell taking its nearest pixel.

    Args:
        components: (B, H, W) integers, 0 for none.
        size: (h, w) of the feature map.
        L: of more components the L largest are kept.

    Returns:
        masks: (B, C, h*w) bool, largest first, C the most components of any image; rows past an image's own are empty.
        counts: (B,) components of each image.
    """
    B, H, W = components.shape
    rows = _nearest(H, size[0], components.device)
    columns = _nearest(W, size[1], components.device)
    ids = components[:, rows[:, None], columns].flatten(1).long()  # (B, N)
    width = int(ids.max()) + 1 if ids.numel() else 1
    offsets = torch.arange(B, device=ids.device)[:, None] * width
    areas = torch.bincount((ids + offsets).flatten(), minlength=B * width).view(B, width)[:, 1:]
    ordered, order = areas.sort(dim=1, descending=True, stable=True)
    counts = (ordered[:, :L] > 0).sum(1)
    kept = order[:, : int(counts.max())] + 1  # (B, C) ids
    masks = ids.unsqueeze(1) == kept.unsqueeze(-1)
    return masks, counts


def _nearest(pixels: int, cells: int, device: torch.device) -> Tensor:
    """The pixel under the centre of each cell."""
    return ((torch.arange(cells, device=device) + 0.5) * (pixels / cells)).long().clamp_max(pixels - 1)
