"""HRNetV2's head (Wang et al., TPAMI 2020): all maps at the size of the first, 1x1 convolution, classifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgr.models.heads.pixels import PixelHead, pixel_head


class Concatenated(nn.Sequential):
    """Layers that take all maps, brought to the size of the first and concatenated."""

    def forward(self, features: list[Tensor]) -> Tensor:
        """Maps (B, channels[i], h_i, w_i) -> the layers of (B, sum(channels), h_0, w_0)."""
        size = features[0].shape[-2:]
        resized = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in features]
        result: Tensor = super().forward(torch.cat(resized, 1))
        return result


def head(
    channels: list[int], classes: int, *, width: int, prototypes: dict[str, Any] | None = None
) -> PixelHead:
    """Classifies the cells of the first map; `width` is 720 for HRNetV2-W48, the sum of its channels."""
    decoder = Concatenated(
        nn.Conv2d(sum(channels), width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )
    return pixel_head(decoder, width, classes, prototypes=prototypes)
