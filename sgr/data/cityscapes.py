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
    decode,
    list_files,
    pair,
    read_ids,
    train_ids,
    write_image,
)

CLASSES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
SPLITS = ("train", "val")
THINGS = (
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)  # classes with instances

_IDS = np.array([7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33], dtype=np.uint8)  # label id of each class
_TABLE = np.full(256, INVALID, dtype=np.uint8)
_TABLE[:34] = _TABLE[255] = IGNORE
_TABLE[_IDS] = np.arange(len(CLASSES))

_IMAGE, _LABEL, _INSTANCES = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_instanceIds.png"


def index(root: Path, split: str) -> list[Sample]:
    """Samples of a split, sorted by id. Raises UserError for a missing folder or partner."""
    check_split(split, SPLITS, "Cityscapes")
    images = list_files(Path(root) / "leftImg8bit" / split, _IMAGE, deep=True)
    return pair(images, list_files(Path(root) / "gtFine" / split, _LABEL, deep=True), _IMAGE, _LABEL)


def read_label(path: Path) -> Bytes:
    """(H, W) uint8 train ids, 255 ignored. Raises UserError for an id that Cityscapes does not define."""
    return train_ids(read_ids(path), _TABLE, path, "Cityscapes' label ids are 0 to 33, and 255 for none")


def instance_file(label: Path) -> Path:
    """The map of instances beside a label map."""
    return label.with_name(label.name.replace(_LABEL, _INSTANCES))


def read_instances(label: Path) -> npt.NDArray[np.int32]:
    """(H, W) instances of the image with this label map: a number of its own each, 0 where there is none.

    The file beside the label map holds 1000 * label id + k for the k-th instance, and the plain label id for stuff
    and for groups that the annotators did not part. Raises UserError for a missing or unreadable file.
    """
    ids = decode(instance_file(label), np.array).astype(np.int32)
    return np.where(ids >= 1000, ids, 0)


def write_sample(root: Path, split: str, number: int, image: Bytes, label: Bytes) -> None:
    """Write image (H, W, 3) and train ids (H, W) as sample `number` of a split, in one of two cities."""
    city, name = _name(number)
    write_image(Path(root) / "leftImg8bit" / split / city / (name + _IMAGE), image)
    write_image(Path(root) / "gtFine" / split / city / (name + _LABEL), _label_ids(label))


def write_instances(root: Path, split: str, number: int, label: Bytes, instances: Bytes) -> None:
    """Write the instances (H, W) of sample `number`: numbers of their own each, 0 for none."""
    city, name = _name(number)
    ids = _label_ids(label).astype(np.uint16)
    ids = np.where(instances > 0, 1000 * ids + instances, ids).astype(np.uint16)
    write_image(Path(root) / "gtFine" / split / city / (name + _INSTANCES), ids)


def _name(number: int) -> tuple[str, str]:
    city = ("northtown", "southtown")[number % 2]
    return city, f"{city}_{number:06d}_000019"


def _label_ids(label: Bytes) -> Bytes:
    ids = np.zeros(256, dtype=np.uint8)
    ids[: len(_IDS)] = _IDS
    found: Bytes = ids[label]
    return found


def write_lists(root: Path) -> None:
    """Nothing to write: this layout has no list files."""
