"""Every claim with its numbers and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .claims import Claim, claims
from .evidence import Figure, Source
from .verdicts import FAILS, HOLDS, UNTESTED, Verdict, verdicts


class Judged(NamedTuple):
    """A claim with its numbers and its verdict."""

    claim: Claim
    figures: list[Figure]
    verdict: Verdict


def judge(source: Source) -> list[Judged]:
    """Every claim, judged by the results of a profile. Raises UserError for a malformed result."""
    found = [
        (claim, [figure for evidence in claim.evidence for figure in evidence.figures(source)])
        for claim in claims()
    ]
    judged = verdicts([figures for _, figures in found])
    return [Judged(claim, figures, verdict) for (claim, figures), verdict in zip(found, judged, strict=True)]


def count(judged: Sequence[Judged]) -> dict[str, int]:
    """How many claims have each verdict."""
    words = [one.verdict.word for one in judged]
    return {word: words.count(word) for word in (HOLDS, FAILS, UNTESTED)}
