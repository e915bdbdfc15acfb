"""What a result is made of, as its file says it: how much of a dataset, and which training.

Result files have it as `about`, which the stages write: what the plan resolved, and what the manifests count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sgr.errors import UserError

Source: TypeAlias = Literal["generated", "folder"]


@dataclass(frozen=True)
class Count:
    """How many images of a split were there, and how many it has officially."""

    images: int
    official: int

    @property
    def whole(self) -> bool:
        """Whether none is missing."""
        return self.images >= self.official


@dataclass(frozen=True)
class Training:
    """A training.

    Attributes:
        dataset, split, images: what it learnt from.
        backbone: by its name.
        crop, resize: height and width of a crop in pixels, and the scale of the images that it is cut from; None for a
            detector, which sees whole images.
        sides: pixels of the shorter side of its images; None for a segmentation network.
        start: the training that it started from; None for a backbone's weights.
    """

    dataset: str
    split: str
    images: Count
    backbone: str
    iterations: int
    batch_size: int
    crop: tuple[int, int] | None = None
    resize: float | None = None
    sides: tuple[int, ...] | None = None
    start: Training | None = None


@dataclass(frozen=True)
class About:
    """What a result is of.

    Attributes:
        dataset, splits: where it is measured.
        source: of all images: generated, or of a dataset's folder.
    """

    dataset: str
    source: Source
    splits: Mapping[str, Count]
    training: Training


def parse(content: Any, file: object) -> About:
    """A result's `about` from its JSON value. Raises UserError naming the file if it is none."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(About).validate_python(content)
    except ValidationError:
        raise UserError(f"{file} is of an older version: run `make repro`, which makes it anew") from None
