"""Reasoning between tokens: the transformer encoder of section 3.2 and the graph convolution of GloRe.

Both map (B, K, D) to (B, K, D).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Reasoning = Literal["transformer", "graph"]


class GraphConvolution(nn.Module):
    """One graph convolution over a learned, fully connected graph: ReLU((I - A) T W) (GloRe, Eq. 2 of that paper).

    Args:
        K: number of tokens, the nodes.
        D: token width.
    """

    def __init__(self, K: int, D: int) -> None:
        super().__init__()
        self.adjacency = nn.Linear(K, K)
        self.update = nn.Linear(D, D, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, K, D) -> (B, K, D)."""
        diffused = self.adjacency(tokens.transpose(1, 2)).transpose(1, 2)
        return torch.relu(self.update(tokens - diffused))


def token_reasoning(kind: Reasoning, K: int, D: int, layers: int, heads: int) -> nn.Module:
    """The module between tokens and refined tokens.

    Args:
        kind: `transformer`, the paper's, or `graph`, the ablation "Ours w graph" of Table 4.
        K, D: number and width of the tokens.
        layers: the paper's transformer has two.
        heads: attention heads; must divide D.

    Raises:
        ValueError: for an unknown kind, or heads that do not divide D.
    """
    if kind == "graph":
        return nn.Sequential(*(GraphConvolution(K, D) for _ in range(layers)))
    if kind != "transformer":
        raise ValueError(f"reasoning is 'transformer' or 'graph', not {kind!r}")
    if D % heads:
        raise ValueError(f"heads = {heads} must divide the token width D = {D}")
    layer = nn.TransformerEncoderLayer(D, heads, dim_feedforward=4 * D, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
