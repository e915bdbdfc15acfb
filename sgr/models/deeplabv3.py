"""DeepLabV3 head (Chen et al., 2017): atrous spatial pyramid pooling, 3x3 convolution, classifier."""

from __future__ import annotations

from torch import nn
from torchvision.models.segmentation.deeplabv3 import ASPP


def head(channels: int, classes: int, width: int, atrous_rates: list[int]) -> nn.Module:
    """(B, channels, h, w) -> (B, classes, h, w); training needs two images or more, for the pooled branch's norm."""
    return nn.Sequential(
        ASPP(channels, atrous_rates, width),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, classes, 1),
    )
