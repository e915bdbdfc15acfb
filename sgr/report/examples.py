"""Example images with the most active concept regions of a row: work/<profile>/tokens/<dataset>/<row>.npz."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgr.errors import UserError


class Example(NamedTuple):
    """One image of one row.

    Attributes:
        name: of the image.
        image: (H, W, 3) uint8.
        label: (H, W) uint8 classes, 255 ignored.
        regions: (R, h, w) float32 in [0, 1], the most active first; R may be 0.
        covers: (H', W') pixels that the regions' cells lie over; None for the image's own size.
    """

    name: str
    image: NDArray[np.uint8]
    label: NDArray[np.uint8]
    regions: NDArray[np.float32]
    covers: tuple[int, int] | None = None


def load(path: Path) -> list[Example]:
    """The examples of one file. Raises UserError when it is not such a file."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return [_example(data, number) for number in range(int(data["count"]))]
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: run `dvc repro` for its row first") from None
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} does not hold example images with their regions ({error})") from None


def same_images(files: dict[str, list[Example]]) -> None:
    """Raise UserError unless all rows show the same images in the same order."""
    names = {row: [example.name for example in examples] for row, examples in files.items()}
    first = next(iter(names), "")
    for row in names:
        if names[row] != names[first]:
            raise UserError(
                f"rows {first} and {row} show different example images ({names[first]} and {names[row]}): "
                "both must be of one split and one choice of images"
            )


def _example(data: Any, number: int) -> Example:
    covers = data.get(f"covers_{number}")
    image, label = data[f"image_{number}"], data[f"label_{number}"]
    regions = data[f"regions_{number}"].astype(np.float32)
    if (
        image.dtype != np.uint8
        or image.ndim != 3
        or label.dtype != np.uint8
        or label.shape != image.shape[:2]
    ):
        raise ValueError(f"image {number} must be (H, W, 3) and its label (H, W), both uint8")
    if regions.ndim != 3 or not np.isfinite(regions).all():
        raise ValueError(f"the regions of image {number} must be finite numbers (R, h, w)")
    size = None if covers is None else (int(covers[0]), int(covers[1]))
    return Example(str(data[f"name_{number}"]), image, label, regions, size)
