"""Writing generated scenes: images and label maps as files, masks as COCO's polygons and run lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

SMALLEST = 4  # pixels of a part of a mask that becomes a polygon


def write_image(path: Path, image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    """Write (H, W, 3) or (H, W) uint8, or (H, W) uint16, as PNG; or JPEG of quality 95 without chroma subsampling."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(image).save(path, compress_level=1)
    else:
        Image.fromarray(image).save(path, quality=95, subsampling=0)


def polygons(mask: npt.NDArray[np.bool_]) -> list[list[float]]:
    """Outlines of the parts of a mask, halfway between its pixels and the others; COCO's polygons have no holes."""
    from contourpy import contour_generator

    found = []
    # a frame of zeros closes the lines at the image's edge; centres of pixels are at .5
    for line in contour_generator(z=np.pad(mask, 1).astype(float)).lines(0.5):
        points = np.asarray(line)[:-1] - 0.5
        before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
        corners = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
        x, y = points[corners].T
        area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
        if area >= SMALLEST:  # holes have a negative one
            found.append(points[corners].ravel().tolist())
    return found


def runs(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """A mask as an uncompressed RLE: lengths of runs of 0 and 1 in turn, down the columns, 0 first."""
    pixels = np.concatenate([[False], mask.ravel(order="F")])
    starts = np.flatnonzero(np.diff(pixels))
    return {"size": list(mask.shape), "counts": np.diff([0, *starts, mask.size]).tolist()}


def extent(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Area and box of the pixels of a segmentation."""
    from pycocotools import mask

    rle = mask.frPyObjects(segmentation, height, width)
    rle = mask.merge(rle) if isinstance(rle, list) else rle
    return {"area": float(mask.area(rle)), "bbox": mask.toBbox(rle).tolist()}
