"""How much of which dataset numbers are of, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sgr.datasets import describe

from .about import Count, Source


class Images(NamedTuple):
    """Images of a split that numbers are of."""

    dataset: str
    split: str
    here: Count


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
    about = describe(name)
    whole = all(count.whole for counts in splits.values() for count in counts)
    told = []
    for split in sorted(splits, key=[*about.splits].index):
        here, official = span([count.images for count in splits[split]]), splits[split][0].official
        if generated:
            told.append(f"{here} images in the place of {official} of {split}")
        else:
            told.append(f"{here}{'' if whole else f' of {official}'} images of {split}")
    of = "" if generated else "the whole of " if whole else "a part of "
    return f"{of}{about.title} ({', '.join(told)})"


def span(values: Sequence[float]) -> str:
    """`64`, or `64 to 160`."""
    return " to ".join(dict.fromkeys(f"{value:.12g}" for value in (min(values), max(values))))
