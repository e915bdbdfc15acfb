"""A dataset in words and colours."""

from __future__ import annotations

from functools import cached_property

RGB = tuple[int, int, int]

TITLES = {
    "cocostuff10k": "COCO-Stuff-10K",
    "ade20k": "ADE20K",
    "cityscapes": "Cityscapes",
    "camvid": "CamVid",
    "coco": "MS-COCO",
}
PALETTES: dict[str, tuple[RGB, ...]] = {
    # Train ids 0-18, in the dataset's own label script.
    "cityscapes": (
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60),
        (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
    # Sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist.
    "camvid": (
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
}  # fmt: skip


class Description:
    """Title and official colours (empty where there are none) of a dataset, and its classes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = TITLES.get(name, name)
        self.palette = PALETTES.get(name, ())

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names by train id."""
        from sgr.data import dataset

        return tuple(dataset(self.name).CLASSES)


def describe(name: str) -> Description:
    """The description of a dataset."""
    return Description(name)
