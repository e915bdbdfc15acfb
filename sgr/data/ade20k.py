"""ADE20K, scene parsing challenge: 20210 training and 2000 validation images, 150 classes.

ADEChallengeData2016/{images,annotations}/{training,validation}/ADE_{train,val}_<number>.{jpg,png}; in the
label maps 0 is everything else, ignored, and 1..150 are the classes.
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

FOLDERS = {"train": "training", "val": "validation"}
SPLITS = tuple(FOLDERS)

_TABLE = np.full(256, INVALID, dtype=np.uint8)
_TABLE[0] = IGNORE
_TABLE[1:151] = np.arange(150)


def index(root: Path, split: str, whole: bool = True) -> list[Sample]:
    """Samples of a split, sorted by name; `root` holds ADEChallengeData2016 or is it.

    Raises UserError for a missing folder and, if `whole`, partner.
    """
    check_split(split, SPLITS, "ADE20K")
    root = Path(root) if (Path(root) / "images").is_dir() else Path(root) / "ADEChallengeData2016"
    images = list_files(root / "images" / FOLDERS[split], ".jpg")
    return pair(images, list_files(root / "annotations" / FOLDERS[split], ".png"), ".jpg", ".png", whole)


def read_label(path: Path) -> Bytes:
    """(H, W) uint8 train ids, 255 ignored. Raises UserError for a value above 150."""
    return train_ids(read_ids(path), _TABLE, path, "ADE20K's labels are 1 to 150, and 0 for none")
