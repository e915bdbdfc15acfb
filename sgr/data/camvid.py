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
)

SPLITS = ("train", "val", "test")
VOID = 11  # all below are classes

_TABLE = np.full(256, INVALID, dtype=np.uint8)
_TABLE[:VOID] = np.arange(VOID)
_TABLE[VOID] = IGNORE


def index(root: Path, split: str, whole: bool = True) -> list[Sample]:
    """Samples of a split, sorted by name. Raises UserError for a missing folder and, if `whole`, partner."""
    check_split(split, SPLITS, "CamVid")
    images = list_files(Path(root) / split, ".png", ".jpg", ".jpeg")
    return pair(images, list_files(Path(root) / f"{split}annot", ".png"), ".png or .jpg", ".png", whole)


def read_label(path: Path) -> Bytes:
    """(H, W) uint8 train ids, 255 ignored. Raises UserError for a value above 11."""
    return train_ids(read_ids(path), _TABLE, path, "CamVid's labels are 0 to 10, and 11 for void")
