"""The GloRe unit (Chen et al., Graph-Based Global Reasoning Networks, CVPR 2019), the rival of Tables 1-3.

Written after that paper's section 4: projection, graph convolution, reverse projection with the same weights.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from sgr.reasoning import GraphConvolution


class GloReOutput(NamedTuple):
    """Enhanced features (B,C,H,W), signed projection weights (B,K,H,W), refined tokens (B,K,D)."""

    features: Tensor
    projection: Tensor
    tokens: Tensor

    @property
    def regions(self) -> Tensor:
        """Absolute projection weights (B, K, H, W), the regions for S and D: the weights are signed."""
        return self.projection.float().abs()


class GloRe(nn.Module):
    """Global reasoning unit.

    Args:
        channels: C of the feature map.
        K: number of nodes.
        D: width of a node's state.

    Raises:
        ValueError: for sizes below 1.
    """

    def __init__(self, channels: int, K: int = 512, D: int = 512) -> None:
        super().__init__()
        for name, value in {"channels": channels, "K": K, "D": D}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self.state = nn.Conv2d(channels, D, 1)
        self.project = nn.Conv2d(channels, K, 1)
        self.reason = GraphConvolution(K, D)
        self.expand = nn.Conv2d(D, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=1e-4)
        nn.init.zeros_(self.norm.weight)  # a fresh unit is the identity

    def forward(self, x: Tensor) -> GloReOutput:
        """x: features (B, C, H, W). Returns `GloReOutput`, its features of the same shape."""
        B, _, H, W = x.shape
        projection = self.project(x)  # (B, K, H, W)
        weights = projection.flatten(2)  # (B, K, N)
        nodes = weights @ self.state(x).flatten(2).transpose(1, 2) / (H * W)  # (B, K, D)
        nodes = self.reason(nodes)
        mapped = (nodes.transpose(1, 2) @ weights).reshape(B, -1, H, W)  # (B, D, H, W)
        return GloReOutput(x + self.norm(self.expand(mapped)), projection, nodes)
