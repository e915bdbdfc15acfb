"""The first line of a table: how much of which dataset, image size, backbones and iterations its numbers are of.

It is made of what the rows say of themselves; a profile's name says nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sgr.datasets import describe

from .about import About, Count, Source, Training
from .labels import backbone_title


class Images(NamedTuple):
    """Images of a split that numbers are of."""

    dataset: str
    split: str
    here: Count


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


def of_images(sources: Iterable[Source], images: Sequence[Images]) -> str:
    """`Generated images, not the real dataset: CamVid (8 images in the place of 101 of val)`."""
    of_dataset: dict[str, dict[str, list[Count]]] = {}
    for dataset, split, count in images:
        of_dataset.setdefault(dataset, {}).setdefault(split, []).append(count)
    generated = "generated" in sources
    words = ", ".join(_dataset(name, splits, generated) for name, splits in of_dataset.items())
    if generated:
        return f"Generated images, not the real dataset{'s' if len(of_dataset) > 1 else ''}: {words}"
    return words[0].upper() + words[1:]


def _dataset(name: str, splits: dict[str, list[Count]], generated: bool) -> str:
    """`a part of CamVid (8 of 101 images of val, …)`, or `the whole of CamVid (101 images of val, …)`."""
    whole = all(count.whole for counts in splits.values() for count in counts)
    told = []
    for split, counts in splits.items():
        here, official = span([count.images for count in counts]), counts[0].official
        if generated:
            told.append(f"{here} images in the place of {official} of {split}")
        else:
            told.append(f"{here}{'' if whole else f' of {official}'} images of {split}")
    of = "" if generated else "the whole of " if whole else "a part of "
    return f"{of}{describe(name).title} ({', '.join(told)})"


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


def span(values: Sequence[float]) -> str:
    """`64`, or `64 to 160`."""
    return " to ".join(dict.fromkeys(f"{value:.12g}" for value in (min(values), max(values))))


def size(crop: tuple[int, int]) -> str:
    """`96 × 96`, height and width."""
    return " × ".join(map(str, crop))
