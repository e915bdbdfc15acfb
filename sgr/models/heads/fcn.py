"""Dilated FCN head: 3x3 convolution, batch norm, ReLU, dropout, classifier (the head of torchvision's FCN)."""

from __future__ import annotations

from torch import nn

from sgr.models.heads.pixels import OfLastMap, PixelHead, pixel_head


def head(channels: list[int], classes: int, *, width: int) -> PixelHead:
    """Classifies the cells of the last map; `width` channels inside."""
    decoder = OfLastMap(
        nn.Conv2d(channels[-1], width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Dropout(0.1),
    )
    return pixel_head(decoder, width, classes)
