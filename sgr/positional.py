"""Sine-cosine position embedding, PE_pos of Eq. 1 and of section 3.2 (Vaswani et al., 2017)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoid(positions: Tensor, width: int) -> Tensor:
    """Embed positions: sines in the first half of the channels, cosines in the second.

    Args:
        positions: (...) positions in cells; fractions are fine.
        width: number of channels C; an odd one drops the last cosine.

    Returns:
        (..., C) in the dtype of `positions`, frequency i being 10000^(-2i/C).
    """
    half = (width + 1) // 2
    exponents = torch.arange(half, device=positions.device, dtype=positions.dtype) * (2 / width)
    angles = positions.unsqueeze(-1) * torch.exp(-math.log(10_000.0) * exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[..., :width]


def cells(count: int, like: Tensor) -> Tensor:
    """Positions 1..count of the cells of one axis (Eq. 4 counts from 1), in float32 or better, on `like`'s device."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.arange(1, count + 1, device=like.device, dtype=dtype)
