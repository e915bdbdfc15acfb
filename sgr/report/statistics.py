"""Mean and standard deviation over seeds, and differences between rows."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping
from typing import NamedTuple


class Spread(NamedTuple):
    """Mean over n seeds and the sample standard deviation (n - 1); `std` is None for one seed."""

    mean: float
    std: float | None
    n: int


def spread(values: Collection[float]) -> Spread | None:
    """Spread of the values; None when there are none."""
    if not values:
        return None
    return Spread(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def gain(values: Mapping[str, float], base: Mapping[str, float]) -> Spread | None:
    """Spread of value - base over the seeds that both have; None when they share none.

    Pairing by seed removes what the two rows have in common: initial weights, sample order, augmentation.
    """
    return spread([value - base[seed] for seed, value in values.items() if seed in base])


def over_seeds(n: int) -> str:
    """What a number of n seeds is: `of one seed (n = 1)`."""
    return "of one seed (n = 1)" if n == 1 else f"the mean over n = {n} seeds ± the sample standard deviation"
