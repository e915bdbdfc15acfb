"""Class scores of full images, at one scale or averaged over scales and flips (section 5.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sgr.models.network import Network


def padded(images: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of the stride, so that cells tile the image."""
    H, W = images.shape[2:]
    return F.pad(images, (0, -W % stride, 0, -H % stride), mode="replicate")


def resized(images: Tensor, scale: float) -> Tensor:
    """Images at another scale, as float; (B, 3, round(scale H), round(scale W))."""
    images = images.float()
    if scale == 1:
        return images
    size = [max(1, round(scale * side)) for side in images.shape[2:]]
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def scores(network: Network, images: Tensor, size: tuple[int, int], scale: float, flip: bool) -> Tensor:
    """Class probabilities (B, classes, *size) at one scale, averaged with the mirrored image where `flip`.

    Args:
        network: in evaluation mode.
        images: (B, 3, H, W) in 0..255.
        size: of the labels, to which the scores are brought.
        scale: of the input, relative to the image.
        flip: also run the mirrored images.
    """
    views = torch.cat([images, images.flip(3)]) if flip else images
    small = resized(views, scale)
    height, width = small.shape[2:]
    inputs = padded(small, network.backbone.stride)
    found = network.scores(network(inputs), (inputs.shape[2], inputs.shape[3]))[:, :, :height, :width]
    if flip:
        plain, mirrored = found.chunk(2)
        found = (plain + mirrored.flip(3)) / 2
    if (height, width) == size:
        return found
    return F.interpolate(found, size, mode="bilinear", align_corners=False)


@torch.inference_mode()
def single_and_multi_scale(
    network: Network,
    images: Tensor,
    size: tuple[int, int],
    *,
    resize: float,
    scales: Sequence[float],
    flip: bool,
) -> tuple[Tensor, Tensor]:
    """Predicted classes (B, *size): single-scale, and by the mean of the scores over scales and flips.

    Args:
        resize: the scale the network was trained at; `scales` are relative to it.
    """
    single = scores(network, images, size, resize, flip=False)
    multi = torch.zeros_like(single)
    for scale in scales:
        multi += scores(network, images, size, resize * scale, flip)
    return single.argmax(1), multi.argmax(1)
