"""MS-COCO 2017, instances: 118287 training and 5000 validation images, 80 classes of things.

The checksums are those of the archives which its server hands out, as several public loaders record them.
"""

from __future__ import annotations

import json
import mmap
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sgr.datasets import Description, Generated, Scene, Split
from sgr.download.layout import Archive, Part

# fmt: off
CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
SPLITS = {"train2017": Split(118287, (480, 640)), "val2017": Split(5000, (480, 640))}
FIRST_VAL = 500_000  # `write` numbers validation images from here: an image has one id in both splits

# images.cocodataset.org is a bucket of this server, whose certificate is not of that name
SERVER = "https://s3.amazonaws.com/images.cocodataset.org"

ARCHIVES = (
    Archive(
        "train2017.zip",
        f"{SERVER}/zips/train2017.zip",
        ("train2017",),
        unpacked=19.5,
        checksum="sha256:69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        bytes=19336861798,
    ),
    Archive(
        "val2017.zip",
        f"{SERVER}/zips/val2017.zip",
        ("val2017",),
        unpacked=0.9,
        checksum="sha256:4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        bytes=815585330,
    ),
    Archive(
        "annotations_trainval2017.zip",
        f"{SERVER}/annotations/annotations_trainval2017.zip",
        ("annotations",),
        unpacked=0.9,
        checksum="sha256:113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        bytes=252907541,
    ),
)


def layout(root: Path) -> Iterator[Part]:
    """A folder of images for each split."""
    for split, (files, _) in SPLITS.items():
        yield Part(split, split, (".jpg",), files, f"{split}.zip", "image", annotated(split))


def annotated(split: str) -> Callable[[Path], set[str]]:
    """The images that the annotations of a split list, read without parsing 450 MB of JSON."""

    def names(root: Path) -> set[str]:
        path = root / "annotations" / f"instances_{split}.json"
        if not path.is_file() or not path.stat().st_size:
            return set()
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            listed = re.finditer(rb'"file_name": *"([^"/]+)\.jpg"', content)
            return {match[1].decode(errors="surrogateescape") for match in listed}

    return names


def write(root: Path, split: str, number: int, scene: Scene) -> None:
    """Write a generated scene as sample `number` of a split, its annotations aside, for `finish` to gather.

    Groups of things that are not told apart become crowd regions.
    """
    import numpy as np

    from sgr.data.coco import CATEGORY_IDS
    from sgr.generated.painter import FIRST_GROUP
    from sgr.generated.writing import extent, polygons, runs, write_image

    image_id = number + 1 + (FIRST_VAL if split == "val2017" else 0)
    name = f"{image_id:012d}"
    height, width = scene.label.shape
    annotations: list[dict[str, Any]] = []
    for value in np.flatnonzero(np.bincount(scene.instances.ravel()))[1:]:
        mask = scene.instances == value
        crowd = bool(value >= FIRST_GROUP)
        segmentation = runs(mask) if crowd else polygons(mask)
        if not segmentation:
            continue
        annotation = {
            "id": image_id * 1000 + len(annotations) + 1,  # pycocotools takes a match with number 0 for none
            "image_id": image_id,
            "category_id": CATEGORY_IDS[scene.label[mask][0]],
            "iscrowd": int(crowd),
            "segmentation": segmentation,
        }
        annotations.append(annotation | extent(segmentation, height, width))
    image = {"id": image_id, "file_name": f"{name}.jpg", "height": height, "width": width}
    part = parts_folder(root, split) / f"{name}.json"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text(json.dumps({"images": [image], "annotations": annotations}))
    write_image(root / split / f"{name}.jpg", scene.image)


def finish(root: Path) -> None:
    """Gather the annotations in annotations/instances_<split>.json, one image in memory at a time."""
    from sgr.data.coco import CATEGORY_IDS, annotation_file
    from sgr.files import open_aside, read_json

    for split in SPLITS:
        folder = parts_folder(root, split)
        if not folder.is_dir():
            continue
        parts = sorted(folder.iterdir())
        with open_aside(annotation_file(root, split)) as file:
            file.write(b'{"info": {"description": "generated scenes"}, "licenses": []')
            for key in ("images", "annotations"):
                entries = (json.dumps(entry) for part in parts for entry in read_json(part)[key])
                file.write(f', "{key}": ['.encode())
                for position, entry in enumerate(entries):
                    file.write(f"{', ' if position else ''}{entry}".encode())
                file.write(b"]")
            categories = [
                {"id": number, "name": name} for number, name in zip(CATEGORY_IDS, CLASSES, strict=True)
            ]
            file.write(f', "categories": {json.dumps(categories)}}}'.encode())
        shutil.rmtree(folder)


def parts_folder(root: Path, split: str) -> Path:
    """Where `write` leaves the annotations of each image of a split."""
    return root / "annotations" / split


DESCRIPTION = Description(
    title="MS-COCO",
    classes=CLASSES,
    splits=SPLITS,
    archives=ARCHIVES,
    layout=layout,
    single_files={f"annotations/instances_{split}.json": "annotations_trainval2017.zip" for split in SPLITS},
    generated=Generated(
        roles=(*[None] * 6, "car", "boat", "person", None, None),
        write=write,
        finish=finish,
    ),
    label_maps=False,
    varying_sizes=True,
)
