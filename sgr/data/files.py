"""What the datasets share: samples, reading images and label maps, pairing files."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from sgr.errors import UserError

IGNORE = 255
INVALID = 254  # marks, in a table of train ids, the values that a label file may not hold

Bytes = npt.NDArray[np.uint8]
Pixels = TypeVar("Pixels")


class Sample(NamedTuple):
    """One image and its label map."""

    id: str
    image: Path
    label: Path


def read_image(path: str | os.PathLike[str]) -> Bytes:
    """(H, W, 3) uint8 RGB of a PNG or JPEG file; grey becomes RGB.

    Raises UserError for a missing or truncated file, for pixels that would have to be guessed (16 bits, a palette,
    transparency, CMYK), and for a picture that is to be turned before it is shown: nothing says whether its label map
    is of the stored pixels or of the turned ones.
    """

    def rgb(image: Image.Image) -> Bytes:
        if (pixels := _stored(image)) not in ("RGB", "L"):
            raise UserError(
                f"{path} holds {pixels} pixels, but an image has 8 bits of red, green and blue, or of grey"
            )
        found = np.array(image if image.mode == "RGB" else image.convert("RGB"))
        if (turned := _orientation(image)) in range(2, 9):
            raise UserError(
                f"{path} has the EXIF orientation {turned}, but an image is stored as it is shown: turn its pixels, "
                "or remove the tag if its annotations are of the pixels as they are"
            )
        return found

    return decode(path, rgb)


def read_ids(path: str | os.PathLike[str]) -> Bytes:
    """(H, W) uint8 raw values, or palette indices, of a label map, a PNG file of 8 bits a pixel. Raises UserError."""

    def ids(image: Image.Image) -> Bytes:
        # of grey with fewer bits Pillow makes other values, of a palette with fewer it does not
        if (pixels := _stored(image)) not in ("L", "P", "P;1", "P;2", "P;4"):
            raise UserError(f"{path} holds {pixels} pixels, but a label map has one channel of 8 bits")
        return np.array(image)

    return decode(path, ids, "PNG")


def read_wide_ids(path: str | os.PathLike[str]) -> npt.NDArray[np.int32]:
    """(H, W) raw values of a PNG file of 16 bits a pixel. Raises UserError."""

    def ids(image: Image.Image) -> npt.NDArray[np.int32]:
        if (pixels := _stored(image)) != "I;16B":
            raise UserError(
                f"{path} holds {pixels} pixels, but a map of instances has one channel of 16 bits"
            )
        return np.array(image).astype(np.int32)

    return decode(path, ids, "PNG")


def decode(path: str | os.PathLike[str], convert: Callable[[Image.Image], Pixels], *formats: str) -> Pixels:
    """What `convert` makes of an image file. Raises UserError for a missing, truncated or unreadable one."""
    formats = formats or ("PNG", "JPEG")
    try:
        with Image.open(path, formats=formats) as image:
            return convert(image)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    # Pillow's ways to say it
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is truncated or is not a {' or '.join(formats)} file: {error}") from None


def _stored(image: Image.Image) -> str:
    """What a file's pixels are, by Pillow's name of their bytes: its mode alone hides 16 bits a channel, and 4."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else image.mode
    return str(arguments if isinstance(arguments, str) else arguments[0])


def _orientation(image: Image.Image) -> int | None:
    """The EXIF tag of an image's orientation; None where there is none that can be read, as in some cameras' files."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except (struct.error, SyntaxError, TypeError, ValueError):
        return None


def check_sizes(sample: Sample, image: Bytes, label: npt.NDArray[Any]) -> None:
    """Raise UserError if an image (H, W, 3) and its label map (H, W) have different sizes."""
    if image.shape[:2] != label.shape:
        raise UserError(
            f"{sample.image} has {_size(image)} pixels, but its label map {sample.label} has {_size(label)}"
        )


def _size(array: npt.NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


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
    for path in folder.glob("[!.]*/[!.]*" if deep else "[!.]*"):
        suffix = next((suffix for suffix in suffixes if path.name.endswith(suffix)), None)
        if suffix is None:
            continue
        try:
            str(path.relative_to(folder)).encode()
        except UnicodeEncodeError:
            raise UserError(
                f"{folder} holds a file whose name is not UTF-8, {path.name!r}: rename it"
            ) from None
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
