"""The SGR component: Eq. 1-4 and sections 3.1-3.2 of the paper.

Dimensions: B images, C channels, H x W cells, N = H * W, K concepts, D token width.

Departures from the letter of the paper, each a named argument or noted in docs/paper.md:
X' of Eq. 1 is never built, tokens are divided by the area of their region, and the last convolution starts at zero.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        self.expand = nn.Conv2d(D, channels, 1)
        assert self.concepts.bias is not None and self.expand.bias is not None
        nn.init.constant_(self.concepts.bias, math.log(concept_prior / (1 - concept_prior)))
        nn.init.zeros_(self.expand.weight)  # a fresh component is the identity
        nn.init.zeros_(self.expand.bias)

    def forward(self, x: Tensor) -> SGROutput:
        """x: features (B, C, H, W). Returns `SGROutput`, its features of the same shape."""
        B, _, H, W = x.shape
        logits = self._position_aware(self.concepts, x)  # (B, K, H, W)
        values = self._position_aware(self.reduce, x)  # (B, D, H, W)
        regions = torch.sigmoid(logits)  # Eq. 2
        P = regions.flatten(2)  # (B, K, N)
        columns = regions.sum(2, dtype=torch.promote_types(x.dtype, torch.float32))  # (B, K, W)
        area = columns.sum(-1, keepdim=True).clamp_min(_TINY)  # (B, K, 1)

        tokens = P @ values.flatten(2).transpose(1, 2)  # Eq. 3: (B, K, D)
        if self.token_normalization == "area":
            tokens = tokens / area.to(tokens.dtype)
        if self.centroid_embedding:
            tokens = tokens + self._centroid_embedding(regions, columns, area).to(tokens.dtype)
        tokens = self.reason(tokens)

        mapped = tokens.transpose(1, 2) @ P  # (B, D, N)
        if self.token_normalization == "area":
            mapped = mapped / P.sum(1, keepdim=True, dtype=area.dtype).clamp_min(_TINY).to(mapped.dtype)
        return SGROutput(x + self.expand(mapped.reshape(B, -1, H, W)), logits, tokens)

    def _position_aware(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        """conv(X') without X' = [X + PE(x); X + PE(y)] (Eq. 1): (W1 + W2) X + W1 PE(x) + W2 PE(y)."""
        first, second = conv.weight.squeeze(-1).squeeze(-1).chunk(2, dim=1)  # (out, C) each
        out = F.conv2d(x, (first + second)[:, :, None, None], conv.bias)
        if not self.xy_embedding:
            return out
        C, (H, W) = x.shape[1], x.shape[2:]
        along_x = first @ sinusoid(cells(W, x), C).T.to(first.dtype)  # (out, W)
        along_y = second @ sinusoid(cells(H, x), C).T.to(second.dtype)  # (out, H)
        return out + (along_x[:, None, :] + along_y[:, :, None]).to(out.dtype)

    def _centroid_embedding(self, regions: Tensor, columns: Tensor, area: Tensor) -> Tensor:
        """PE of the centroids of Eq. 4, half the channels for x, half for y: (B, K, D)."""
        H, W = regions.shape[2:]
        rows = regions.sum(3, dtype=columns.dtype)  # (B, K, H)
        x = (columns * cells(W, columns)).sum(-1) / area.squeeze(
            -1
        )  # not a matmul: autocast would round it to bf16
        y = (rows * cells(H, rows)).sum(-1) / area.squeeze(-1)
        D = self.reduce.out_channels
        return torch.cat([sinusoid(x, (D + 1) // 2), sinusoid(y, D // 2)], dim=-1)
