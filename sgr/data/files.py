"""What the datasets share: samples, reading images and label maps, pairing files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from sgr.errors import UserError

IGNORE = 255
INVALID = 254  # marks, in a table of train ids, the values that a label file may not hold

Bytes = npt.NDArray[np.uint8]


class Sample(NamedTuple):
    """One image and its label map."""

    id: str
    image: Path
    label: Path


def read_image(path: str | os.PathLike[str]) -> Bytes:
    """(H, W, 3) uint8 RGB. Raises UserError for a missing, truncated or unreadable file."""
    return decode(path, lambda image: np.array(image if image.mode == "RGB" else image.convert("RGB")))


def read_ids(path: str | os.PathLike[str]) -> Bytes:
    """(H, W) uint8 raw values, or palette indices, of a label map of 8 bits a pixel. Raises UserError."""

    def ids(image: Image.Image) -> Bytes:
        if image.mode not in ("L", "P"):
            raise UserError(f"{path} holds {image.mode} pixels, but a label map has one channel of 8 bits")
        return np.array(image)

    return decode(path, ids)


def decode(path: str | os.PathLike[str], convert: Callable[[Image.Image], Bytes]) -> Bytes:
    """What `convert` makes of an image file. Raises UserError for a missing, truncated or unreadable one."""
    try:
        with Image.open(path) as image:
            return convert(image)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    # Pillow's ways to say it
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is truncated or is not an image: {error}") from None


def train_ids(ids: Bytes, table: Bytes, path: str | os.PathLike[str], encoding: str) -> Bytes:
    """Map raw values through a table of 256 train ids. Raises UserError, stating the encoding, at INVALID."""
    label = np.take(table, ids)
    wrong = label == INVALID
    if wrong.any():
        values = ", ".join(map(str, np.unique(ids[wrong])[:5]))
        raise UserError(f"{path} holds the label {values}, but {encoding}")
    return label


def list_files(folder: Path, *suffixes: str, deep: bool = False) -> dict[str, Path]:
    """Files of a folder, or of its subfolders, by name less suffix. Raises UserError if there are none."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    files: dict[str, Path] = {}
    for path in folder.glob("*/*" if deep else "*"):
        suffix = next((suffix for suffix in suffixes if path.name.endswith(suffix)), None)
        if suffix is None or path.name.startswith("."):
            continue
        name = path.name.removesuffix(suffix)
        if name in files:
            raise UserError(f"{files[name]} and {path} are the same sample: keep one of them")
        files[name] = path
    if not files:
        raise UserError(f"folder {folder} holds no {' or '.join(suffixes)} file")
    return files


def pair(
    images: dict[str, Path],
    labels: dict[str, Path],
    image_suffix: str,
    label_suffix: str,
    whole: bool = True,
) -> list[Sample]:
    """Samples sorted by id.

    An image without its label map, or a label map without its image, is a UserError if they are to be `whole`, and
    left out otherwise.
    """
    for name in sorted(images.keys() ^ labels.keys()) if whole else ():
        if name in images:
            raise UserError(f"{images[name]} has no label map {name}{label_suffix}")
        raise UserError(f"{labels[name]} has no image {name}{image_suffix}")
    paired = sorted(images.keys() & labels.keys())
    return [Sample(name, images[name].absolute(), labels[name].absolute()) for name in paired]


def check_split(split: str, splits: tuple[str, ...], dataset: str) -> None:
    """Raise UserError for a split that a dataset does not have."""
    if split not in splits:
        raise UserError(f"{dataset} has no split {split!r}: use one of {', '.join(splits)}")
