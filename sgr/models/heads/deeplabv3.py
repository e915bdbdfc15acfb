"""DeepLabV3 head (Chen et al., 2017): atrous spatial pyramid pooling, 3x3 convolution, classifier."""

from __future__ import annotations

from torch import nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from sgr.models.heads.pixels import OfLastMap, PixelHead, pixel_head


def head(channels: list[int], classes: int, *, width: int, atrous_rates: list[int]) -> PixelHead:
    """Classifies the cells of the last map; training needs two images or more, for the pooled branch's norm."""
    decoder = OfLastMap(
        ASPP(channels[-1], atrous_rates, width),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )
    return pixel_head(decoder, width, classes)
