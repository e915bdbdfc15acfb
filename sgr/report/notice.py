"""The first line of a table: how much of which dataset, image size, backbones and iterations its numbers are of.

It is made of what the rows say of themselves; a profile's name says nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from .about import About, Training
from .images import Images, of_images, span
from .labels import backbone_title


def notice(abouts: Sequence[About]) -> str:
    """First line of a table whose rows say this of themselves."""
    if not abouts:
        return "No row is trained yet."
    images = [
        image
        for about in abouts
        for image in (
            Images(about.training.dataset, about.training.split, about.training.images),
            *(Images(about.dataset, split, count) for split, count in about.splits.items()),
        )
    ]
    trainings = _trainings([about.training for about in abouts])
    return f"{of_images({about.source for about in abouts}, images)}; {trainings}."


def _trainings(trainings: Sequence[Training]) -> str:
    """`crops of 96 × 96 pixels, tiny ResNet, 64 to 160 iterations of 4 images`."""
    crops = sorted(
        {training.crop for training in trainings if training.crop}, key=lambda crop: crop[0] * crop[1]
    )
    scales = [training.resize for training in trainings if training.resize]
    sides = [side for training in trainings for side in training.sides or ()]
    seen = []
    if crops:
        scaled = "" if set(scales) == {1.0} else f" of images at {span(scales)} of their size"
        ends = dict.fromkeys((size(crops[0]), size(crops[-1])))
        seen.append(f"crops of {' to '.join(ends)} pixels{scaled}")
    if sides:
        seen.append(f"shorter sides of {span(sides)} pixels")
    backbones = dict.fromkeys(backbone_title(training.backbone) for training in trainings)
    iterations = span([training.iterations for training in trainings])
    batches = span([training.batch_size for training in trainings])
    return ", ".join([*seen, *backbones, f"{iterations} iterations of {batches} images"])


def size(crop: tuple[int, int]) -> str:
    """`96 × 96`, height and width."""
    return " × ".join(map(str, crop))
