"""ADE20K, scene parsing challenge: 20210 training and 2000 validation images, 150 classes.

The MD5 is that of the archive which its server hands out, as several public loaders record it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sgr.datasets import Description, Generated, Scene, Split
from sgr.download.layout import Archive, Part

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
SPLITS = {"train": Split(20210, (512, 683)), "val": Split(2000, (512, 683))}

ARCHIVE = Archive(
    "ADEChallengeData2016.zip",
    "https://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
    ("ADEChallengeData2016", "images", "annotations"),
    unpacked=1.1,
    checksum="md5:7328b3957e407ddae1d3cbf487f149ef",
)


def layout(root: Path) -> Iterator[Part]:
    """`root` holds ADEChallengeData2016 or is it."""
    top = "" if (root / "images").is_dir() else "ADEChallengeData2016/"
    for split, folder in (("train", "training"), ("val", "validation")):
        files, names = SPLITS[split].images, numbered(split)
        yield Part(split, f"{top}images/{folder}", (".jpg",), files, ARCHIVE.name, "image", names)
        yield Part(split, f"{top}annotations/{folder}", (".png",), files, ARCHIVE.name, "label", names)


def numbered(split: str) -> Callable[[Path], set[str]]:
    """The names of a split, which are numbers from 1 on."""
    return lambda root: {f"ADE_{split}_{number:08d}" for number in range(1, SPLITS[split].images + 1)}


def write(root: Path, split: str, number: int, scene: Scene) -> None:
    """Write a generated scene as sample `number` of a split."""
    import numpy as np

    from sgr.data.ade20k import FOLDERS
    from sgr.generated.writing import write_image

    place, name = root / "ADEChallengeData2016", f"{FOLDERS[split]}/ADE_{split}_{number:08d}"
    write_image(place / "images" / f"{name}.jpg", scene.image)
    # uint8 wraps 255 to 0, which is what "ignored" is here
    write_image(place / "annotations" / f"{name}.png", scene.label + np.uint8(1))


DESCRIPTION = Description(
    title="ADE20K",
    classes=CLASSES,
    splits=SPLITS,
    archives=(ARCHIVE,),
    layout=layout,
    generated=Generated(
        roles=("sky", "water", "road", "grass", "building", "tree", "car", "boat", "person", "pole", "fence"),
        write=write,
    ),
    varying_sizes=True,
)
