"""Colours of classes: the official ones of a dataset that has some, else distinct ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

IGNORED = (225, 225, 225)  # in no official palette


def palette(official: Sequence[tuple[int, int, int]], classes: int) -> NDArray[np.uint8]:
    """(classes, 3) RGB, one colour a class: the official ones where the dataset has some, else `distinct` ones."""
    return np.array(official, dtype=np.uint8) if len(official) == classes else distinct(classes)


def colour(label: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Picture (H, W, 3) of a label map (H, W); what is no class is IGNORED."""
    table = np.full((256, 3), IGNORED, dtype=np.uint8)
    table[: len(colours)] = colours
    return table[label]


@cache
def distinct(number: int) -> NDArray[np.uint8]:
    """(number, 3) RGB: each the farthest in CIELAB from all before it, and from white, black and IGNORED."""
    steps = np.arange(16, 256, 24)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    candidates = _lab(grid)
    taken = _lab(np.array([(255, 255, 255), (0, 0, 0), IGNORED]))
    distance = np.linalg.norm(candidates[:, None] - taken, axis=-1).min(1)
    chosen = []
    for _ in range(number):
        best = int(distance.argmax())
        chosen.append(best)
        distance = np.minimum(distance, np.linalg.norm(candidates - candidates[best], axis=-1))
    return grid[chosen].astype(np.uint8)


def _lab(rgb: NDArray[np.int64]) -> NDArray[np.float64]:
    """CIELAB (D65) of sRGB colours 0-255, (..., 3)."""
    linear = rgb / 255.0
    linear = np.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)
