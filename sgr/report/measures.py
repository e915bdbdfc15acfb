"""The columns of one measure in a table: paper, ours, standard deviation, difference, and the gain."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .statistics import gain, spread

Values = Mapping[str, float]
Cells = dict[str, float | None]


def compare(measure: str, paper: float | None, ours: Values | None) -> Cells:
    """`<measure>_paper`, `_ours`, `_std`, `_difference`.

    Args:
        measure: prefix of the columns.
        paper: the paper's number; None or NaN where it has none.
        ours: value by seed; None where the row has not been trained.
    """
    ours_spread = spread((ours or {}).values())
    known = None if paper is None or math.isnan(paper) else paper
    mean = ours_spread.mean if ours_spread else None
    return {
        f"{measure}_paper": known,
        f"{measure}_ours": mean,
        f"{measure}_std": ours_spread.std if ours_spread else None,
        f"{measure}_difference": None if known is None or mean is None else mean - known,
    }


def gains(
    measure: str, paper: float | None, paper_base: float | None, ours: Values | None, base: Values | None
) -> Cells:
    """`<measure>_gain_paper`, `_gain_ours`, `_gain_std`: a row minus its base, ours paired by seed."""
    published = None if paper is None or paper_base is None else paper - paper_base
    paired = gain(ours or {}, base or {})
    return {
        # The paper has one decimal: 38.8 - 37.8 is 1.0, not 0.9999999999999929.
        f"{measure}_gain_paper": None if published is None or math.isnan(published) else round(published, 3),
        f"{measure}_gain_ours": paired.mean if paired else None,
        f"{measure}_gain_std": paired.std if paired else None,
    }
