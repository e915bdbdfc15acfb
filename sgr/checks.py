"""What `sgr.door` refuses: shapes and numbers of the wrong kind, each in a sentence that says what would be right.

Dimensions: B images, C channels, h x w cells, H x W pixels, K concepts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgr.connected import connected_components


def check_features(name: str, channels: int, x: Tensor) -> None:
    check_floating("x", f"features (B, {channels}, h, w)", x)
    if x.dim() == 4 and x.shape[1] == channels:
        return
    if x.dim() == 4:
        right = "permute(0, 3, 1, 2)" if x.shape[3] == channels else f"or make it by channels={x.shape[1]}"
        wrong = f"{x.shape[1]} channels"
    elif x.dim() == 3 and x.shape[2] == channels:
        right, wrong = "transpose(1, 2).unflatten(2, (h, w)) makes a map of tokens", "three dimensions"
    else:
        right, wrong = "a single image is x[None]", f"{x.dim()} dimensions"
    raise ValueError(
        f"this {name} takes features (B, {channels}, h, w), but {shape_of(x)} has {wrong}: {right}"
    )


def check_maps(name: str, right: str, maps: Tensor) -> None:
    """Raise unless `maps` are (B, K, h, w) floating point numbers."""
    check_floating(name, f"maps (B, K, h, w), such as {right}", maps)
    if maps.dim() != 4:
        raise ValueError(f"{name} is (B, K, h, w), such as {right}, not of shape {shape_of(maps)}")


def check_floating(name: str, right: str, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a tensor of {right}, not {type(value).__name__}")
    if not value.is_floating_point():
        raise TypeError(f"{name} is {right} in floating point, not {value.dtype}")


def check_labels(name: str, labels: Tensor, images: int) -> None:
    """Raise unless `labels` is (B, H, W) integers, a map for each image."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"{name} is a tensor (B, H, W) of integers, not {type(labels).__name__}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"{name} is (B, H, W) integers, not {labels.dtype}: give {name}.long()")
    if labels.dim() != 3:
        right = "squeeze(1)" if labels.dim() == 4 and labels.shape[1] == 1 else "a single map is map[None]"
        raise ValueError(f"{name} is (B, H, W), not of shape {shape_of(labels)}: {right}")
    if len(labels) != images:
        raise ValueError(f"{name} is a map for each of {images} images, not {len(labels)} maps")


def check_components(components: Tensor) -> None:
    """Raise for what can be labels alone: a negative number, or 255 with nothing near it, the usual ignored label."""
    low, high = (int(bound) for bound in components.aminmax()) if components.numel() else (0, 0)
    if low < 0 or (high == 255 and not bool((components == 254).any())):
        raise ValueError(
            f"components hold {low if low < 0 else high}, as labels do: give sgr.connected_components(labels)"
        )


def look_like_labels(components: Tensor) -> bool:
    """Whether the numbers of most maps stand for two pieces or more on average, as classes do and components do not.

    Crops and coarser maps of components pass, since little of them is cut into pieces.
    """
    suspicious = 0
    for ids in components.cpu().numpy():
        pieces = connected_components(ids, ignore_index=0, opening=0, min_share=0).max(initial=0)
        suspicious += int(pieces) >= 2 * len(np.unique(ids[ids > 0])) > 0
    return 2 * suspicious > len(components)


def mostly_alone(labels: Any, components: Any, ignore_index: int) -> bool:
    """Whether more than half of the images keep one component, and no pixel of any other class they have."""
    images = [(labels, components)] if len(labels.shape) == 2 else list(zip(labels, components, strict=True))
    alone = 0
    for classes, ids in images:
        if ids.shape != (0, 0) and int(ids.max()) == 1:
            kept = classes[ids == 1][0]
            alone += bool(((classes != kept) & (classes != ignore_index)).any())
    return 2 * alone > len(images)


def shape_of(value: Any) -> str:
    return str(tuple(value.shape))
