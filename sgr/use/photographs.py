"""Photographs as people have them: files, folders or patterns, in any mode of colour, turned by a tag of the camera."""

from __future__ import annotations

import glob
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sgr.data.files import Bytes, decode
from sgr.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png")


def photographs(asked: Sequence[str]) -> list[Path]:
    """The files that are asked for: a file, all of a folder, or all that a pattern matches, sorted.

    Raises:
        UserError: for one that is not there or is no JPEG or PNG file, a folder or pattern without any, or two of one
            name, whose results would lie in one folder.
    """
    found: dict[str, Path] = {}
    for path in dict.fromkeys(path for text in asked for path in _files(text)):
        decode(path, lambda image: image.size)
        if path.stem in found:
            raise UserError(
                f"{found[path.stem]} and {path} have one name: predict them with another --out each"
            )
        found[path.stem] = path
    return list(found.values())


def _files(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not found:
            raise UserError(f"the folder {text} holds no {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file")
        return found
    if path.exists() or not glob.has_magic(text):
        return [path]
    matches = [Path(match) for match in sorted(glob.glob(text, recursive=True)) if Path(match).is_file()]
    if not matches:
        raise UserError(f"no file matches {text}")
    return matches


def read(path: Path) -> Bytes:
    """(H, W, 3) uint8 RGB, as it is to be shown. Raises UserError for a file that cannot be read as that."""

    def rgb(image: Image.Image) -> Bytes:
        if image.mode.startswith(("I", "F")):
            raise UserError(f"{path} has more than 8 bits a channel: save it with 8")
        return np.array(_upright(image).convert("RGB"))

    return decode(path, rgb)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (struct.error, SyntaxError, TypeError, ValueError):
        return image  # a tag that nobody can read, as in some cameras' files


def shrunk(photo: Bytes, longest: int) -> Bytes:
    """The photo (H, W, 3), its longer side at most `longest` pixels."""
    scale = longest / max(photo.shape[:2])
    if scale >= 1:
        return photo
    height, width = (max(1, round(scale * side)) for side in photo.shape[:2])
    return np.array(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))
