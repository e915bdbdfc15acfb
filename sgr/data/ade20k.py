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
    write_image,
)

# fmt: off
CLASSES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet",
    "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water",
    "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence",
    "desk", "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion", "base", "box", "column", "signboard",
    "chest of drawers", "counter", "sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand",
    "path", "stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge",
    "bookcase", "blind", "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove",
    "palm", "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus",
    "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight", "booth", "television receiver",
    "airplane", "dirt track", "apparel", "pole", "land", "bannister", "escalator", "ottoman", "bottle",
    "buffet", "poster", "stage", "van", "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything",
    "swimming pool", "stool", "barrel", "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven",
    "ball", "food", "step", "tank", "trade name", "microwave", "pot", "animal", "bicycle", "lake",
    "dishwasher", "screen", "blanket", "sculpture", "hood", "sconce", "vase", "traffic light", "tray",
    "ashcan", "fan", "pier", "crt screen", "plate", "monitor", "bulletin board", "shower", "radiator",
    "glass", "clock", "flag",
)
# fmt: on
SPLITS = ("train", "val")

_ROOT = "ADEChallengeData2016"
_FOLDERS = {"train": "training", "val": "validation"}
_TABLE = np.full(256, INVALID, dtype=np.uint8)
_TABLE[0] = IGNORE
_TABLE[1 : len(CLASSES) + 1] = np.arange(len(CLASSES))


def index(root: Path, split: str) -> list[Sample]:
    """Samples of a split, sorted by name; `root` holds ADEChallengeData2016 or is it.

    Raises UserError for a missing folder or partner.
    """
    check_split(split, SPLITS, "ADE20K")
    root = Path(root) if (Path(root) / "images").is_dir() else Path(root) / _ROOT
    images = list_files(root / "images" / _FOLDERS[split], ".jpg")
    return pair(images, list_files(root / "annotations" / _FOLDERS[split], ".png"), ".jpg", ".png")


def read_label(path: Path) -> Bytes:
    """(H, W) uint8 train ids, 255 ignored. Raises UserError for a value above 150."""
    return train_ids(read_ids(path), _TABLE, path, "ADE20K's labels are 1 to 150, and 0 for none")


def write_sample(root: Path, split: str, number: int, image: Bytes, label: Bytes) -> None:
    """Write image (H, W, 3) and train ids (H, W) as sample `number` of a split."""
    name = f"ADE_{split}_{number:08d}"
    folder = Path(root) / _ROOT
    write_image(folder / "images" / _FOLDERS[split] / f"{name}.jpg", image)
    # uint8 wraps 255 to 0, which is what "ignored" is here.
    write_image(folder / "annotations" / _FOLDERS[split] / f"{name}.png", label + np.uint8(1))


def write_lists(root: Path) -> None:
    """Nothing to write: this layout has no list files."""
