"""The SGR unit: Eq. 1-4 and sections 3.1-3.2 of the paper.

Dimensions: B images, C channels, H x W cells, N = H * W, K concepts, D token width.

Departures from the letter of the paper, each a named argument or noted in docs/paper.md:
X' of Eq. 1 is never built, tokens are divided by the area of their region, and the last convolution starts at zero.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from sgr.positional import cells, sinusoid
from sgr.reasoning import Reasoning, token_reasoning

TokenNormalization = Literal["area", "none"]
_TINY = 1e-6  # keeps the area of a region that vanished from dividing by zero


class SGROutput(NamedTuple):
    """What SGR returns: enhanced features (B,C,H,W), concept logits (B,K,H,W), refined tokens (B,K,D)."""

    features: Tensor
    concept_logits: Tensor
    tokens: Tensor

    @property
    def regions(self) -> Tensor:
        """Concept regions P of Eq. 2, (B, K, H, W) in 0..1."""
        return self.concept_logits.float().sigmoid()


class Extent(NamedTuple):
    """How much of each region lies in each column (B, K, W), in each row (B, K, H), and in all (B, K, 1)."""

    columns: Tensor
    rows: Tensor
    area: Tensor

    @classmethod
    def of(cls, regions: Tensor) -> Extent:
        """Of regions (B, K, H, W), in float32 or better: bf16 would move a centroid by half a cell."""
        wide = torch.promote_types(regions.dtype, torch.float32)
        columns, rows = regions.sum(2, dtype=wide), regions.sum(3, dtype=wide)
        return cls(columns, rows, columns.sum(-1, keepdim=True))


class SGR(nn.Module):
    """Group pixels into tokens by soft masks, reason between the tokens, map them back.

    Args:
        channels: C of the feature map.
        K: number of concepts.
        D: token width.
        reasoning: `transformer` (section 3.2) or `graph` (Table 4).
        layers: layers of the reasoning.
        heads: attention heads; must divide D.
        xy_embedding: add PE(x) and PE(y) to the features, Eq. 1.
        centroid_embedding: add PE(centroid) to the tokens, Eq. 4.
        token_normalization: `area` divides each token by the area of its region and the re-projection by the sum
            over tokens; `none` is the literal Eq. 3.
        concept_prior: what the concept regions are on average before training, by the bias of their convolution.

    Raises:
        ValueError: for sizes below 1, heads that do not divide D, or an unknown choice.
    """

    def __init__(
        self,
        channels: int,
        K: int = 512,
        D: int = 512,
        *,
        reasoning: Reasoning = "transformer",
        layers: int = 2,
        heads: int = 8,
        xy_embedding: bool = True,
        centroid_embedding: bool = True,
        token_normalization: TokenNormalization = "area",
        concept_prior: float = 0.5,
    ) -> None:
        super().__init__()
        for name, value in {"channels": channels, "K": K, "D": D, "layers": layers, "heads": heads}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if token_normalization not in ("area", "none"):
            raise ValueError(f"token_normalization is 'area' or 'none', not {token_normalization!r}")
        if not 0 < concept_prior < 1:
            raise ValueError(f"concept_prior must lie between 0 and 1, not {concept_prior}")
        self.xy_embedding = xy_embedding
        self.centroid_embedding = centroid_embedding
        self.token_normalization = token_normalization
        self.concepts = nn.Conv2d(2 * channels, K, 1)  # its K kernels are the concept embeddings b_k of Eq. 2
        self.reduce = nn.Conv2d(2 * channels, D, 1)  # W_d of Eq. 3
        self.reason = token_reasoning(reasoning, K, D, layers, heads)
        self.expand = nn.Conv2d(D, channels, 1, bias=False)
        assert self.concepts.bias is not None
        nn.init.constant_(self.concepts.bias, math.log(concept_prior / (1 - concept_prior)))
        nn.init.zeros_(self.expand.weight)  # a fresh unit is the identity

    def forward(self, x: Tensor) -> SGROutput:
        """x: features (B, C, H, W). Returns `SGROutput`, its features of the same shape."""
        X = x.flatten(2)  # (B, C, N)
        positions = self._positions(x)
        logits = self._concept_logits(X, positions)  # (B, K, H, W)
        regions = torch.sigmoid(logits)  # Eq. 2
        P = regions.flatten(2)  # (B, K, N)
        extent = Extent.of(regions)
        tokens = self._pool(X, P, positions, extent)  # Eq. 3: (B, K, D)
        if self.token_normalization == "area":
            tokens = tokens / extent.area.clamp_min(_TINY).to(P.dtype)
            P = P / P.sum(1, keepdim=True, dtype=extent.area.dtype).clamp_min(_TINY).to(P.dtype)
        if self.centroid_embedding:
            tokens = tokens + self._centroid_embedding(extent).to(P.dtype)
        tokens = self.reason(tokens)

        # The convolution after the re-projection is linear, and K tokens are cheaper to expand than N cells.
        expanded = tokens @ self.expand.weight.flatten(1).T  # (B, K, C)
        features = torch.baddbmm(X, expanded.transpose(1, 2), P)  # (B, C, N): mapped back, added in one pass
        return SGROutput(features.view_as(x), logits, tokens)

    def _positions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """PE(x) of the columns and PE(y) of the rows, Eq. 1: (W, C) and (H, C); zeros without the embedding."""
        C, H, W = x.shape[1:]
        if not self.xy_embedding:
            return x.new_zeros(W, C), x.new_zeros(H, C)
        return sinusoid(cells(W, x), C).to(x.dtype), sinusoid(cells(H, x), C).to(x.dtype)

    def _concept_logits(self, X: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:
        """The convolution of Eq. 2 without building X' = [X + PE(x); X + PE(y)]: (B, K, H, W).

        W X' = (W1 + W2) X + W1 PE(x) + W2 PE(y), and PE(x) depends on the column alone, PE(y) on the row.
        """
        first, second = _halves(self.concepts)  # (K, C) each
        along_x, along_y = first @ positions[0].T, second @ positions[1].T  # (K, W), (K, H)
        offset = along_x[:, None, :] + along_y[:, :, None] + _column(self.concepts)[:, :, None]  # (K, H, W)
        weight = (first + second).expand(X.shape[0], -1, -1)
        return torch.baddbmm(offset.flatten(1).to(X.dtype), weight, X).unflatten(2, offset.shape[1:])

    def _pool(self, X: Tensor, P: Tensor, positions: tuple[Tensor, Tensor], extent: Extent) -> Tensor:
        """P conv(X')^T, Eq. 3, (B, K, D): X is summed over each region first, the convolution comes after.

        Of PE(x) a region's sum needs only how much of the region lies in each column.
        """
        first, second = _halves(self.reduce)  # (D, C) each
        columns, rows, area = (part.to(P.dtype) for part in extent)
        tokens = (P @ X.transpose(1, 2)) @ (first + second).T
        tokens = tokens + columns @ (positions[0] @ first.T) + rows @ (positions[1] @ second.T)
        return tokens + area * _column(self.reduce).T

    def _centroid_embedding(self, extent: Extent) -> Tensor:
        """PE of the centroids of Eq. 4, half the channels for x, half for y: (B, K, D)."""
        columns, rows = extent.columns, extent.rows
        area = extent.area.squeeze(-1).clamp_min(_TINY)
        # sums of products, no matmul: autocast would take that to bf16
        x = (columns * cells(columns.shape[2], columns)).sum(-1) / area
        y = (rows * cells(rows.shape[2], rows)).sum(-1) / area
        D = self.reduce.out_channels
        return torch.cat([sinusoid(x, (D + 1) // 2), sinusoid(y, D // 2)], dim=-1)


def _halves(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """[W1 W2] of a 1x1 convolution of X', (out, C) each."""
    first, second = conv.weight.flatten(1).chunk(2, dim=1)
    return first, second


def _column(conv: nn.Conv2d) -> Tensor:
    """The bias of a convolution as (out, 1)."""
    assert conv.bias is not None
    return conv.bias.unsqueeze(1)
