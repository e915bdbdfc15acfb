"""Verdicts: from the numbers of all claims to holds, does not hold, or not tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .evidence import Figure
from .statistics import holm

LEVEL = 0.05
HOLDS, FAILS, UNTESTED = "holds", "does not hold", "not tested"
RULE = (
    "A claim *holds* if each of its counted numbers lies on the claimed side and the largest of their p-values "
    f"(two-sided t test of differences paired by seed) is below {LEVEL} after Holm's correction over all claims tested "
    "here; otherwise it *does not hold*, and the reason follows. It is *not tested* where no number counts: of "
    "generated images, of a part of a dataset, of fewer than three pairs of seeds, or of a network that has failed."
)


class Verdict(NamedTuple):
    """One of the three words, its reason, and the corrected p-value that it follows from; None if untested."""

    word: str
    reason: str
    p: float | None = None


def verdicts(claims: Sequence[Sequence[Figure]]) -> list[Verdict]:
    """The verdict of each claim, from its figures.

    A claim of several numbers says that all of them are so; its p-value is the largest of theirs (Berger's
    intersection-union test), and that of a number on the other side is 1.
    """
    counted = [[figure for figure in figures if not figure.uncounted] for figures in claims]
    corrected = iter(holm([max(map(_p, figures)) for figures in counted if figures]))
    return [
        _tested(of_claim, figures, next(corrected)) if of_claim else _untested(figures)
        for figures, of_claim in zip(claims, counted, strict=True)
    ]


def _p(figure: Figure) -> float:
    assert figure.estimate is not None and figure.estimate.p is not None
    return figure.estimate.p if figure.right else 1.0


def _tested(counted: Sequence[Figure], figures: Sequence[Figure], p: float) -> Verdict:
    left_out = _named([figure for figure in figures if figure.uncounted], "not counted: ")
    if p < LEVEL:
        return Verdict(HOLDS, left_out, p)
    # what each number lacks; where none lacks anything, it is the number of claims
    short = [(figure, why) for figure in counted if (why := _lacks(figure))]
    reasons = dict.fromkeys(why for _, why in short) or [f"p = {p:.2g} after Holm's correction"]
    texts = []
    for reason in reasons:
        labels = [figure.label for figure, why in short if why == reason]
        names = f" ({'; '.join(labels)})" if labels and len(figures) > 1 else ""
        texts.append(reason + names)
    return Verdict(FAILS, "; ".join(filter(None, [*texts, left_out])), p)


def _lacks(figure: Figure) -> str:
    """Why a number does not show its claim."""
    assert figure.estimate is not None and figure.estimate.p is not None
    if figure.estimate.p >= LEVEL:
        null = "0" if figure.null == 0 else format(figure.null, figure.shown)
        return f"interval includes {null}"
    return "" if figure.right else "the other way"


def _untested(figures: Sequence[Figure]) -> Verdict:
    return Verdict(UNTESTED, _named(figures) if figures else "no such rows")


def _named(figures: Sequence[Figure], words: str = "") -> str:
    """Why figures do not count: `n = 2`, or `n = 2 (Cityscapes); n = 1 (ADE20K)`."""
    reasons = dict.fromkeys(figure.uncounted for figure in figures)
    if len(reasons) <= 1 and not words:
        return "".join(reasons)
    texts = []
    for reason in reasons:
        labels = "; ".join(figure.label for figure in figures if figure.uncounted == reason)
        texts.append(f"{reason} ({labels})")
    return words + "; ".join(texts) if texts else ""
