"""Pictures of concept regions, and the class that a region votes for most (section 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DIMMED = 0.5


class Vote(NamedTuple):
    """The class with most of a region's weight, and its share of that weight."""

    label: int
    share: float


def on_image(
    region: NDArray[np.float32], size: tuple[int, int], covers: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Region (h, w) at an image's `size` (H, W), bilinear.

    `covers` is the size (H', W') that the region's cells lie over: more than the image where the network's
    input was padded to a multiple of its stride, at the bottom and on the right.
    """
    from PIL import Image

    height, width = covers or size
    picture = Image.fromarray(np.ascontiguousarray(region, dtype=np.float32))
    resized = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
    return resized[: size[0], : size[1]]


def heat(image: NDArray[np.uint8], weight: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A region's weight (H, W) as heat on the dimmed, grey image (H, W, 3); the scale ends at the largest."""
    import matplotlib

    peak = float(weight.max())
    weight = np.clip(weight / peak, 0, 1) if peak > 0 else np.zeros_like(weight)
    grey = np.repeat(image.astype(np.float32).mean(-1, keepdims=True), 3, axis=-1)
    hot = matplotlib.colormaps["inferno"](0.2 + 0.65 * weight)[..., :3].astype(np.float32) * 255
    strength = weight[..., None]
    # Where the region is, the picture is lit as well as coloured, so that one sees what it covers.
    return np.clip(grey * DIMMED * (1 - strength) + (0.5 * grey + 0.65 * hot) * strength, 0, 255).astype(
        np.uint8
    )


def vote(label: NDArray[np.uint8], weight: NDArray[np.float32], classes: int) -> Vote | None:
    """What a region of weight (H, W) votes for; None when it has no weight on labelled pixels."""
    votes = np.bincount(label.ravel(), weight.ravel().astype(np.float64), minlength=256)[:classes]
    if votes.sum() <= 0:
        return None
    best = int(votes.argmax())
    return Vote(best, float(votes[best] / votes.sum()))
