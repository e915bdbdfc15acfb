"""Training augmentation: scale, window, flip and colours, one geometry for image, labels and components.

A crop is resized from the window it shows, not cut from the resized image: its cost is that of the crop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sgr.data.files import IGNORE, Bytes

Integers = npt.NDArray[Any]
_LUMA = np.array([0.299, 0.587, 0.114])


def training_crop(
    image: Bytes,
    label: Bytes,
    components: Integers,
    rng: np.random.Generator,
    crop: tuple[int, int],
    scale: tuple[float, float] = (0.5, 2.0),
    flip: bool = True,
    jitter: float = 0.0,
    fill: tuple[int, int, int] = (124, 116, 104),
) -> tuple[Bytes, Bytes, Integers]:
    """A random crop of exactly `crop` pixels.

    The image is scaled by a factor uniform in `scale` (bilinear; labels and components by nearest pixel), a
    window is chosen, and mirrored with probability 1/2 if `flip`. A scaled image smaller than the crop lies
    at a random place in it, surrounded by `fill`, ignored labels and no component.

    Args:
        image, label, components: (H, W, 3) uint8, (H, W) uint8 train ids, (H, W) integers.
        rng: always advanced by the same number of draws.
        crop: (height, width) of the result.
        jitter: strength of the colour jitter in [0, 1]; 1 is that of SSD and of mmsegmentation, 0 is none.
        fill: RGB around a small image, the mean of the normalisation.

    Returns:
        The three crops, of the dtypes given.
    """
    draws = rng.random(12)
    factor = scale[0] + draws[0] * (scale[1] - scale[0])
    top, bottom, row, rows = _window(image.shape[0], crop[0], factor, draws[1])
    left, right, column, columns = _window(image.shape[1], crop[1], factor, draws[2])

    box = (left, top, right, bottom)
    window = Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR, box=box)
    if jitter > 0:
        window = window.convert("RGB", colour_matrix(jitter, draws[4:]))

    # Nearest source pixel of every row and column of the window; mirroring is reading the columns backwards.
    y = (top + (np.arange(rows) + 0.5) * ((bottom - top) / rows)).astype(np.intp)
    x = (left + (np.arange(columns) + 0.5) * ((right - left) / columns)).astype(np.intp)
    pixels = np.asarray(window)
    if flip and draws[3] < 0.5:
        pixels, x, column = pixels[:, ::-1], x[::-1], crop[1] - columns - column

    region = (slice(row, row + rows), slice(column, column + columns))
    cropped = np.empty((*crop, 3), dtype=np.uint8)
    if (rows, columns) != crop:
        cropped[:] = fill
    cropped[region] = pixels
    maps = []
    for source, empty in ((label, IGNORE), (components, 0)):
        target = np.full(crop, empty, dtype=source.dtype)
        target[region] = source[y][:, x]
        maps.append(target)
    return cropped, maps[0], maps[1]


def _window(length: int, crop: int, factor: float, draw: float) -> tuple[float, float, int, int]:
    """Along one axis: the window's begin and end in source pixels, then its offset and length in the crop."""
    scaled = max(1, round(length * factor))
    offset = int(draw * (abs(scaled - crop) + 1))
    if scaled <= crop:
        return 0.0, float(length), offset, scaled
    return offset * length / scaled, min((offset + crop) * length / scaled, length), 0, crop


def colour_matrix(strength: float, draws: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Brightness, contrast, saturation and hue, each changed with probability 1/2, as one affine map of RGB.

    SSD's photometric distortion, with hue turned around the grey axis rather than in HSV and clipping only at
    the end, so that all four are one 3x4 matrix and one pass over the image.

    Args:
        strength: 1 gives brightness +-32 grey levels, contrast and saturation 0.5..1.5, hue +-18 degrees.
        draws: 8 numbers in [0, 1): four choices, then four amounts.

    Returns:
        The 12 numbers of PIL's Image.convert("RGB", matrix).
    """
    brightness, contrast, saturation, hue = np.where(draws[:4] < 0.5, (2 * draws[4:8] - 1) * strength, 0.0)
    grey = np.tile(_LUMA, (3, 1))
    saturate = grey + (1 + 0.5 * saturation) * (np.eye(3) - grey)
    # Rodrigues' rotation by 18 degrees at full strength around (1, 1, 1) / sqrt(3).
    angle = np.radians(18) * hue
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) / 3
    linear = (1 + 0.5 * contrast) * (turn @ saturate)
    shift = linear.sum(axis=1) * 32 * brightness
    return tuple(np.column_stack([linear, shift]).ravel().tolist())
