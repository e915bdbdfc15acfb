"""Why a number claims less than it seems to: marks where it stands, and their reasons below the table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from . import published
from .about import About, Count, Training
from .lines import Line
from .notice import size
from .specification import Measure

DEVIATES, FAILS = "†", "‡"
Named: TypeAlias = tuple[str, str]  # dataset and method of a line, in words


class Reason(NamedTuple):
    """One of the two marks and what it means of a number."""

    mark: str
    words: str


def reasons(line: Line, measure: Measure, of_paper: bool) -> list[Reason]:
    """Why a line's number of a measure is not what its column says: none for a number that is.

    Args:
        of_paper: whether the table compares with the paper, and so with its schedule.
    """
    about = line.about.get(measure.key)
    if about is None:
        return []
    found = [*_images(about, measure.split or line.split)]
    if of_paper:
        found += _schedule(about.training, line.network.backbone)
    return [
        *(Reason(DEVIATES, words) for words in found),
        *(Reason(FAILS, words) for words in _failures(line, measure)),
    ]


def comparable(found: Sequence[Reason]) -> bool:
    """Whether a difference to the paper means the method: its number is of the whole split and the same schedule."""
    return not any(reason.mark == DEVIATES for reason in found)


def below(found: Sequence[tuple[Named, Sequence[Reason]]]) -> list[str]:
    """What the marks of a table mean, a line each: `† another backbone than the paper's (Dil-FCN, UperNet).`

    Args:
        found: name and reasons of each line; a reason of all lines names none.
    """
    names, texts = dict.fromkeys(name for name, _ in found), []
    for mark in (DEVIATES, FAILS):
        lines: dict[str, dict[Named, None]] = {}
        for name, of_line in found:
            for reason in of_line:
                if reason.mark == mark:
                    lines.setdefault(reason.words, {})[name] = None
        told = [
            words + ("" if len(of) == len(names) else f" ({named(of, names)})") for words, of in lines.items()
        ]
        texts += [f"{mark} {'; '.join(told)}."] if told else []
    return texts


def named(some: Collection[Named], of: Collection[Named]) -> str:
    """`COCO-Stuff-10K; ADE20K: MaskFormer, UperNet`: a dataset alone stands for all of its lines in `of`.

    Where `of` is of one dataset, its lines stand alone: `MaskFormer, UperNet`, or `all but Dil-FCN`.
    """
    datasets = dict.fromkeys(dataset for dataset, _ in of)
    told = []
    for dataset in datasets:
        here, others = (
            list(dict.fromkeys(name for name in of if name[0] == dataset and (name in some) is inside))
            for inside in (True, False)
        )
        if here and not others and len(datasets) > 1:
            told.append(dataset)
        elif here:
            few = others if 0 < len(others) < len(here) else here
            methods = ("all but " if few is others else "") + ", ".join(method for _, method in few)
            told.append(f"{dataset}: {methods}" if len(datasets) > 1 else methods)
    return "; ".join(told)


def _images(about: About, split: str) -> Iterator[str]:
    if about.source == "generated":
        yield "generated images, not the real dataset"
        return
    if not (count := about.splits[split]).whole:
        yield f"measured on a part of the dataset: {_part(count, split)}"
    training = about.training
    if not training.images.whole:
        yield f"trained on a part of the dataset: {_part(training.images, training.split)}"
    if training.start and not training.start.images.whole:
        yield f"from a network trained on a part of its dataset: {_part(training.start.images, training.start.split)}"


def _part(count: Count, split: str) -> str:
    return f"{count.images} of {count.official} images of {split}"


def _schedule(training: Training, backbone: str) -> Iterator[str]:
    """How a training differs from the paper's of its dataset."""
    paper = published.schedules().get(training.dataset)
    if paper is None:
        yield "a dataset that the paper does not train on"
        return
    crop = training.crop if training.resize in (None, 1.0) else None
    if (training.iterations, training.batch_size, crop) != paper:
        images = f"crops of {size(paper.crop)} pixels" if paper.crop else "images"
        yield (
            f"another schedule than the paper's {paper.iterations} iterations of {paper.batch_size} {images}"
        )
    if training.backbone != backbone:
        yield "another backbone than the paper's"
    if training.start:
        for words in _schedule(training.start, backbone):
            yield f"from a network of {words}"


def _failures(line: Line, measure: Measure) -> Iterator[str]:
    """How a row fails at a measure."""
    flags, floor = line.failed.get(measure.key, {}), line.floor.get(measure.key, {})
    if any(flags.values()):
        yield measure.failure + ("" if all(flags.values()) else " with some seeds")
    elif floor and sum(line.values[measure.key].values()) <= sum(floor.values()):
        yield "no better than the most frequent class everywhere"
