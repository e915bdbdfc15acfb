"""Dilated FCN head: 3x3 convolution, batch norm, ReLU, dropout, classifier (the head of torchvision's FCN)."""

from __future__ import annotations

from torch import nn


def head(channels: int, classes: int, width: int, atrous_rates: list[int]) -> nn.Module:
    """(B, channels, h, w) -> (B, classes, h, w); `atrous_rates` are DeepLabV3's."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Conv2d(width, classes, 1),
    )
