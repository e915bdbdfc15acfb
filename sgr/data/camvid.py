"""CamVid in the layout and split of the SegNet tutorial: 367/101/233 images, 11 classes.

<split>/<name>.png or .jpg and <split>annot/<name>.png of values 0..10, 11 = void.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sgr.data.files import (
    IGNORE,
    INVALID,
    Bytes,
    Sample,
    check_split,
    list_files,
    pair,
    read_ids,
    train_ids,
    write_image,
)

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
SPLITS = ("train", "val", "test")
VOID = 11

_TABLE = np.full(256, INVALID, dtype=np.uint8)
_TABLE[: len(CLASSES)] = np.arange(len(CLASSES))
_TABLE[VOID] = IGNORE


def index(root: Path, split: str) -> list[Sample]:
    """Samples of a split, sorted by name. Raises UserError for a missing folder or partner."""
    check_split(split, SPLITS, "CamVid")
    images = list_files(Path(root) / split, ".png", ".jpg", ".jpeg")
    return pair(images, list_files(Path(root) / f"{split}annot", ".png"), ".png or .jpg", ".png")


def read_label(path: Path) -> Bytes:
    """(H, W) uint8 train ids, 255 ignored. Raises UserError for a value above 11."""
    return train_ids(read_ids(path), _TABLE, path, "CamVid's labels are 0 to 10, and 11 for void")


def write_sample(root: Path, split: str, number: int, image: Bytes, label: Bytes) -> None:
    """Write image (H, W, 3) and train ids (H, W) as sample `number` of a split."""
    name = f"0001TP_{number:06d}.png"
    write_image(Path(root) / split / name, image)
    write_image(Path(root) / f"{split}annot" / name, np.where(label == IGNORE, np.uint8(VOID), label))


def write_lists(root: Path) -> None:
    """Nothing to write: this layout has no list files."""
