"""What the datasets share: samples, reading and writing images and label maps, pairing files."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from sgr.errors import UserError

IGNORE = 255
FIRST_GROUP = 200  # numbers of instances from here on are groups, whose things are not told apart
INVALID = 254  # marks, in a table of train ids, the values that a label file may not hold

CHUNK, AHEAD = 16, 4  # items that a process takes at once, and chunks under way or waiting for each core

Bytes = npt.NDArray[np.uint8]
Item = TypeVar("Item")
Result = TypeVar("Result")


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
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # Pillow's ways to say it
        raise UserError(f"{path} is truncated or is not an image: {error}") from None


def train_ids(ids: Bytes, table: Bytes, path: str | os.PathLike[str], encoding: str) -> Bytes:
    """Map raw values through a table of 256 train ids. Raises UserError, stating the encoding, at INVALID."""
    label = np.take(table, ids)
    wrong = label == INVALID
    if wrong.any():
        values = ", ".join(map(str, np.unique(ids[wrong])[:5]))
        raise UserError(f"{path} holds the label {values}, but {encoding}")
    return label


def write_image(path: Path, image: Bytes | npt.NDArray[np.uint16]) -> None:
    """Write (H, W, 3) or (H, W) uint8, or (H, W) uint16, as PNG; or JPEG of quality 95 without chroma subsampling."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(image).save(path, compress_level=1)
    else:
        Image.fromarray(image).save(path, quality=95, subsampling=0)


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
    images: dict[str, Path], labels: dict[str, Path], image_suffix: str, label_suffix: str
) -> list[Sample]:
    """Samples sorted by id. Raises UserError if an image lacks its label map, or a label map its image."""
    for name in sorted(images.keys() ^ labels.keys()):
        if name in images:
            raise UserError(f"{images[name]} has no label map {name}{label_suffix}")
        raise UserError(f"{labels[name]} has no image {name}{image_suffix}")
    return [Sample(name, images[name].absolute(), labels[name].absolute()) for name in sorted(images)]


def check_split(split: str, splits: tuple[str, ...], dataset: str) -> None:
    """Raise UserError for a split that a dataset does not have."""
    if split not in splits:
        raise UserError(f"{dataset} has no split {split!r}: use one of {', '.join(splits)}")


def in_parallel(
    function: Callable[..., Result], items: Iterable[tuple[Any, ...]], serial_below: int = 200
) -> Iterator[Result]:
    """function(*item) for every item, in order; over this process's cores unless the items are few.

    Items are taken, and results are held, a few chunks a core ahead of the caller, however many there are.
    """
    following = iter(items)
    first = list(islice(following, serial_below + 1))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(first) <= serial_below or cores == 1:
        yield from (function(*item) for item in chain(first, following))
        return
    following = chain(first, following)
    waiting: deque[Future[list[Result]]] = deque()
    with ProcessPoolExecutor(cores) as executor:
        while chunk := list(islice(following, CHUNK)):
            waiting.append(executor.submit(_each, function, chunk))
            if len(waiting) == AHEAD * cores:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _each(function: Callable[..., Result], chunk: list[tuple[Any, ...]]) -> list[Result]:
    return [function(*item) for item in chunk]
