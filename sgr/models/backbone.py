"""Backbones: images to four feature maps, normalised as their ImageNet weights expect."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sgr.models.settings import BackboneSettings


class Backbone(nn.Module):
    """Images to the feature maps of four stages, from the finest to the coarsest.

    Args:
        settings: the module of `sgr.models.backbones` that makes its body; 8, 16 or 32 pixels a cell of the last map;
            mean and deviation of the images that its weights were trained on, in 0..1.

    Attributes:
        channels: channels of each map.
        stride: pixels a cell of the coarsest map; images whose sides are multiples of it are tiled by cells.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__()
        body: Any
        body, self.channels, self.stride = settings.body.make(settings.stride)
        self.body = body
        self.register_buffer("mean", 255 * torch.tensor(settings.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(settings.std).view(3, 1, 1), persistent=False)

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """The colour that normalisation takes to zero, for what lies outside an image."""
        red, green, blue = (round(float(value)) for value in self.mean.flatten())
        return red, green, blue

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in 0..255, any dtype -> four maps (B, channels[i], h_i, w_i)."""
        return list(self.body((images - self.mean) / self.std))
