"""Differences with their 95 % interval and p-value, and p-values of several claims corrected together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A number estimated from n observations.

    Attributes:
        value: the mean difference, or the share.
        low, high: its 95 % interval; None where the observations have no spread to tell it from.
        p: two-sided, of no difference; None where there is no interval.
    """

    value: float
    n: int
    low: float | None = None
    high: float | None = None
    p: float | None = None


def paired(ours: Mapping[str, float], other: Mapping[str, float]) -> Estimate | None:
    """Mean of ours - other over the seeds that both have, by Student's t; None where they share none.

    Differences that are all the same have no interval: t would be infinite, and seeds that do not differ prove nothing.
    """
    import numpy as np
    from scipy import stats

    differences = np.array([value - other[seed] for seed, value in ours.items() if seed in other])
    if not len(differences):
        return None
    value, n = float(differences.mean()), len(differences)
    if n == 1 or np.ptp(differences) <= 1e-12 * max(map(abs, [*ours.values(), *other.values()])):
        return Estimate(value, n)
    found = stats.ttest_1samp(differences, 0.0)
    interval = found.confidence_interval(CONFIDENCE)
    return Estimate(value, n, float(interval.low), float(interval.high), float(found.pvalue))


def share(hits: int, n: int, of: float = 0.5) -> Estimate | None:
    """Share of hits among n independent trials, by the exact binomial test against `of`; None without a trial."""
    from scipy import stats

    if not n:
        return None
    found = stats.binomtest(hits, n, of)
    interval = found.proportion_ci(CONFIDENCE)
    return Estimate(hits / n, n, float(interval.low), float(interval.high), float(found.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given: the chance of any false positive stays below the level."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
