"""Cityscapes, fine annotations: 2975 training and 500 validation images of 2048x1024, 19 classes.

The MD5 sums are those of its download page. The labels of its 1525 test images are kept back, and nothing here reads
them. Names and colours of the classes are those of the dataset's own label script.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sgr.datasets import Description, Generated, Scene, Split
from sgr.download.layout import Archive, Part, as_in

SIZE = 1024, 2048
# fmt: off
CITIES = {
    "train": {
        "aachen": 174, "bochum": 96, "bremen": 316, "cologne": 154, "darmstadt": 85, "dusseldorf": 221,
        "erfurt": 109, "hamburg": 248, "hanover": 196, "jena": 119, "krefeld": 99, "monchengladbach": 94,
        "strasbourg": 365, "stuttgart": 196, "tubingen": 144, "ulm": 95, "weimar": 142, "zurich": 122,
    },
    "val": {"frankfurt": 267, "lindau": 59, "munster": 174},
    "test": {
        "berlin": 544, "bielefeld": 181, "bonn": 46, "leverkusen": 58, "mainz": 298, "munich": 398,
    },
}
# fmt: on
THINGS = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")

IMAGES = Archive(
    "leftImg8bit_trainvaltest.zip",
    None,
    ("leftImg8bit",),
    unpacked=11.7,
    checksum="md5:0a6e97e94b616a514066c9e2adb0c97f",
)
LABELS = Archive(
    "gtFine_trainvaltest.zip",
    None,
    ("gtFine",),
    unpacked=1.2,
    checksum="md5:4237c19de34c8a376e9ba46b495d6f66",
)


def layout(root: Path) -> Iterator[Part]:
    """Images, label maps and maps of instances of each city, and of whatever folder lies beside them."""
    image, label, instances = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_instanceIds.png"
    for split, cities in CITIES.items():
        folders = (path for top in ("leftImg8bit", "gtFine") for path in root.glob(f"{top}/{split}/[!.]*/"))
        others = sorted({path.name for path in folders} - cities.keys())
        for city, files in {**cities, **dict.fromkeys(others, 0)}.items():
            place, truth, used = f"leftImg8bit/{split}/{city}", f"gtFine/{split}/{city}", split != "test"
            names = as_in(truth, label)
            yield Part(split, place, (image,), files, IMAGES.name, "image", names, needed=used)
            names = as_in(place, image)
            yield Part(split, truth, (label,), files, LABELS.name, "label", names, needed=used)
            if used:
                yield Part(split, truth, (instances,), files, LABELS.name, "instances", names)


def write(root: Path, split: str, number: int, scene: Scene) -> None:
    """Write a generated scene as sample `number` of a split, in one of two cities."""
    import numpy as np

    from sgr.data.cityscapes import IDS, IMAGE, INSTANCES, LABEL
    from sgr.generated.writing import write_image

    city = ("northtown", "southtown")[number % 2]
    name = f"{split}/{city}/{city}_{number:06d}_000019"
    ids = np.zeros(256, dtype=np.uint8)
    ids[: len(IDS)] = IDS
    labels = ids[scene.label]
    wide = labels.astype(np.uint16)
    instances = np.where(scene.instances > 0, 1000 * wide + scene.instances, wide).astype(np.uint16)
    write_image(root / "leftImg8bit" / (name + IMAGE), scene.image)
    write_image(root / "gtFine" / (name + LABEL), labels)
    write_image(root / "gtFine" / (name + INSTANCES), instances)


DESCRIPTION = Description(
    title="Cityscapes",
    classes=(
        *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign"),
        *("vegetation", "terrain", "sky", *THINGS),
    ),
    things=THINGS,
    palette=(
        *((128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153)),
        *((250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60)),
        *((255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32)),
    ),
    splits={split: Split(sum(CITIES[split].values()), SIZE) for split in ("train", "val")},
    archives=(IMAGES, LABELS),
    layout=layout,
    generated=Generated(
        roles=(
            *("sky", "terrain", "road", "sidewalk", "building", "vegetation"),
            *("car", "bus", "person", "pole", "fence"),
        ),
        write=write,
    ),
)
