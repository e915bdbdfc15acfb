"""Connected components of a label map: the weak supervision of concept regions (section 3.2, footnote 2)."""

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt

from sgr.errors import UserError


def connected_components(
    labels: Any, ignore_index: int = 255, opening: int = 3, min_share: float = 0.05
) -> Any:
    """8-connected components of every class of a label map, the largest first.

    Each class is opened by a square of `opening` pixels (0 or 1: not at all; outside the image counts as another
    class), split into components, and components below `min_share` of the image's largest are dropped.

    Args:
        labels: (H, W) or (B, H, W) class ids >= 0, a numpy array or a torch tensor of any integer type.
        ignore_index: pixels with this value belong to no component.
        opening: side of the structuring element, in pixels.
        min_share: smallest area kept, as a share of the largest component's, in [0, 1].

    Returns:
        Same shape: 0 where there is no component, else 1..C by descending area within the image, ties in the raster
        order of their first pixels. numpy int32 for an array; torch int64 on the same device for a tensor.

    Raises:
        UserError: `opening` is negative, or `min_share` is not in [0, 1].
        ValueError: `labels` is not an integer map of two or three dimensions.
    """
    if opening < 0:
        raise UserError(f"opening is {opening}, but it is a number of pixels >= 0")
    if not 0 <= min_share <= 1:
        raise UserError(f"min_share is {min_share}, but it is a share from 0 to 1")
    if isinstance(labels, np.ndarray):
        return _components(labels, ignore_index, opening, min_share)

    import torch

    components = _components(labels.detach().cpu().numpy(), ignore_index, opening, min_share)
    return torch.from_numpy(components).to(device=labels.device, dtype=torch.int64)


def _components(
    labels: npt.NDArray[Any], ignore_index: int, opening: int, min_share: float
) -> npt.NDArray[np.int32]:
    if labels.ndim not in (2, 3) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels are (H, W) or (B, H, W) integers, not {labels.dtype} {labels.shape}")
    foreground = labels != ignore_index
    if opening > 1:
        foreground &= _opened(labels, opening)
    # 0 is the background of the labelling, so that classes start at 1; uint8 wraps only where it is masked anyway.
    narrow = labels.dtype == np.uint8 and ignore_index == 255
    classes = (labels + 1 if narrow else labels.astype(np.int64) + 1) * foreground
    if labels.ndim == 2:
        return _label(classes, min_share)
    return (
        np.stack([_label(one, min_share) for one in classes])
        if len(classes)
        else np.zeros_like(classes, np.int32)
    )


def _opened(labels: npt.NDArray[Any], size: int) -> npt.NDArray[np.bool_]:
    """(..., H, W) mask of the pixels in some size x size window of one label: every class opened at once."""
    opened = np.zeros(labels.shape, dtype=bool)
    height, width = labels.shape[-2] - size + 1, labels.shape[-1] - size + 1
    if height <= 0 or width <= 0:
        return opened
    # One label along `size` pixels of a row, then along `size` such rows: windows, by their upper left pixel.
    right = labels[..., :, :-1] == labels[..., :, 1:]
    down = labels[..., :-1, :width] == labels[..., 1:, :width]
    runs = right[..., :, :width].copy()
    for shift in range(1, size - 1):
        runs &= right[..., :, shift : shift + width]
    windows = runs[..., :height, :] & runs[..., size - 1 : size - 1 + height, :]
    for shift in range(size - 1):
        windows &= down[..., shift : shift + height, :]
        windows &= runs[..., shift : shift + height, :]
    rows = np.zeros((*labels.shape[:-1], width), dtype=bool)
    for shift in range(size):
        rows[..., shift : shift + height, :] |= windows
    for shift in range(size):
        opened[..., :, shift : shift + width] |= rows
    return opened


def _label(classes: npt.NDArray[Any], min_share: float) -> npt.NDArray[np.int32]:
    """(H, W) components of a map of classes >= 1, 0 being none."""
    if not classes.size:
        return np.zeros(classes.shape, dtype=np.int32)
    components, count = cc3d.connected_components(classes, connectivity=8, return_N=True)
    areas = np.bincount(components.ravel(), minlength=count + 1)
    areas[0] = 0
    kept = np.flatnonzero((areas > 0) & (areas >= min_share * areas.max()))
    # The labelling numbers components in raster order, so that a stable sort settles ties.
    kept = kept[np.argsort(-areas[kept], kind="stable")]
    number = np.zeros(count + 1, dtype=np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    return number[components]
