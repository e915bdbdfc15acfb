"""The judged claims for machines: a line a number, and JSON for pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .evidence import Figure
from .judging import Judged, count
from .verdicts import RULE

if TYPE_CHECKING:
    import pandas as pd


def frame(judged: Sequence[Judged]) -> pd.DataFrame:
    """A line a number, with every digit; a claim without one has a line with its verdict."""
    import pandas as pd

    lines = [
        {
            "claim": claim.key,
            "section": claim.section,
            "verdict": verdict.word,
            "reason": verdict.reason,
            "p_corrected": verdict.p,
            **record,
        }
        for claim, figures, verdict in judged
        for record in (list(map(_record, figures)) or [dict.fromkeys(_record(NOTHING))])
    ]
    numbers = ("p_corrected", "value", "low", "high", "p", "paper")
    return pd.DataFrame(lines).astype({**dict.fromkeys(numbers, "float64"), "n": "Int64"})


def as_json(judged: Sequence[Judged]) -> dict[str, Any]:
    """The rule, how many claims have each verdict, and the claims with their numbers."""
    return {
        "rule": RULE,
        "count": count(judged),
        "claims": [
            {
                "key": claim.key,
                "section": claim.section,
                "words": claim.words,
                "test": claim.test,
                "verdict": verdict.word,
                "reason": verdict.reason,
                "p": verdict.p,
                "figures": [_record(figure) | {"text": str(figure)} for figure in figures],
            }
            for claim, figures, verdict in judged
        ],
    }


NOTHING = Figure("", None, right=False, uncounted="")


def _record(figure: Figure) -> dict[str, Any]:
    estimate = figure.estimate
    return {
        "label": figure.label,
        "row": figure.of,
        "base": figure.against,
        "value": estimate and estimate.value,
        "low": estimate and estimate.low,
        "high": estimate and estimate.high,
        "n": estimate and estimate.n,
        "p": estimate and estimate.p,
        "paper": figure.paper,
        "uncounted": figure.uncounted,
    }
