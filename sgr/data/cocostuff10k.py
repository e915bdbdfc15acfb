"""COCO-Stuff-10K: 9000 training and 1000 test images of MS-COCO, 171 classes.

images/<id>.jpg, annotations/<id>.mat and imageLists/{train,test}.txt. The variable S of a .mat file is the
label map: 0 is unlabelled, 1..182 are COCO's 91 things and 91 stuff classes, of which 11 things were never
annotated.
"""

from __future__ import annotations

import os
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
    train_ids,
)
from sgr.errors import UserError

SPLITS = ("train", "test")

# street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender, hair brush
_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
# label id of each class
IDS = np.array([number for number in range(1, 183) if number not in _UNUSED], dtype=np.uint8)
_TABLE = np.full(256, INVALID, dtype=np.uint8)
_TABLE[0] = IGNORE
_TABLE[IDS] = np.arange(len(IDS))


def index(root: Path, split: str, whole: bool = True) -> list[Sample]:
    """Samples of a split, sorted by name.

    Raises UserError for a missing folder or list and, if `whole`, image or label map.
    """
    check_split(split, SPLITS, "COCO-Stuff-10K")
    path = Path(root) / "imageLists" / f"{split}.txt"
    if not path.is_file():
        raise UserError(f"there is no list file {path}")
    names = os.fsdecode(path.read_bytes()).split()
    if not names:
        raise UserError(f"{path} lists no image")
    images = list_files(Path(root) / "images", ".jpg")
    labels = list_files(Path(root) / "annotations", ".mat")
    for name in names if whole else ():
        if name not in images and name not in labels:
            raise UserError(f"{path} lists {name}, but there is no images/{name}.jpg")
    listed = set(names)
    return pair(
        {name: images[name] for name in images.keys() & listed},
        {name: labels[name] for name in labels.keys() & listed},
        ".jpg",
        ".mat",
        whole,
    )


def read_label(path: Path) -> Bytes:
    """(H, W) uint8 train ids, 255 ignored. Raises UserError for a broken file, or an id not in use."""
    from scipy.io import loadmat

    try:
        with open(path, "rb") as file:
            ids = np.asarray(loadmat(file, variable_names=["S"])["S"])
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except KeyError:
        raise UserError(
            f"{path} has no variable S, which is the label map of a COCO-Stuff annotation"
        ) from None
    # a damaged file can raise anything in the reader: zlib.error, TypeError, OSError, ...
    except Exception as error:
        raise UserError(f"{path} is truncated or is not a MATLAB file: {error}") from None
    if ids.ndim != 2 or ids.dtype.kind not in "iuf":
        raise UserError(f"S of {path} is {ids.dtype} {ids.shape}, but a label map is a matrix of numbers")
    narrow = np.clip(ids, 0, 255).astype(np.uint8)
    if not np.array_equal(narrow, ids):
        raise UserError(f"S of {path} holds {ids[narrow != ids][0]}, but COCO-Stuff's labels are 0 to 182")
    return train_ids(
        narrow, _TABLE, path, "the labels of COCO-Stuff in use are 1 to 182 less 11, and 0 for none"
    )
