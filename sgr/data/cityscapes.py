"""Cityscapes, fine annotations: 2975 training and 500 validation images of 2048x1024, 19 classes.

leftImg8bit/<split>/<city>/<id>_leftImg8bit.png and gtFine/<split>/<city>/<id>_gtFine_labelIds.png, whose ids
0..33 (and -1, stored as 255) are mapped to the 19 train ids; the others are ignored. Beside a label map lies
<id>_gtFine_instanceIds.png, which parts the instances of things.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sgr.data.files import (
    IGNORE,
    INVALID,
    Bytes,
    Sample,
    check_split,
    list_files,
    pair,
    read_ids,
    read_wide_ids,
    train_ids,
)

SPLITS = ("train", "val")
IMAGE, LABEL, INSTANCES = (
    "_leftImg8bit.png",
    "_gtFine_labelIds.png",
    "_gtFine_instanceIds.png",
)  # ends of names
IDS = np.array([7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33], dtype=np.uint8)  # label id of each class

_TABLE = np.full(256, INVALID, dtype=np.uint8)
_TABLE[:34] = _TABLE[255] = IGNORE
_TABLE[IDS] = np.arange(len(IDS))


def index(root: Path, split: str, whole: bool = True) -> list[Sample]:
    """Samples of a split, sorted by id. Raises UserError for a missing folder and, if `whole`, partner."""
    check_split(split, SPLITS, "Cityscapes")
    images = list_files(Path(root) / "leftImg8bit" / split, IMAGE, deep=True)
    return pair(images, list_files(Path(root) / "gtFine" / split, LABEL, deep=True), IMAGE, LABEL, whole)


def read_label(path: Path) -> Bytes:
    """(H, W) uint8 train ids, 255 ignored. Raises UserError for an id that Cityscapes does not define."""
    return train_ids(read_ids(path), _TABLE, path, "Cityscapes' label ids are 0 to 33, and 255 for none")


def instance_file(label: Path) -> Path:
    """The map of instances beside a label map."""
    return label.with_name(label.name.replace(LABEL, INSTANCES))


def read_instances(label: Path) -> npt.NDArray[np.int32]:
    """(H, W) instances of the image with this label map: a number of its own each, 0 where there is none.

    The file beside the label map holds 1000 * label id + k for the k-th instance, and the plain label id for stuff
    and for groups that the annotators did not part. Raises UserError for a missing or unreadable file.
    """
    ids = read_wide_ids(instance_file(label))
    return np.where(ids >= 1000, ids, 0)
