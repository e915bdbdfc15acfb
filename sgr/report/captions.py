"""The words of the token figure: captions that fit, and the legend of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .overlay import vote
from .palette import IGNORED

KEY = (
    "Over a region: the class with most of its weight on labelled pixels, and that share. "
    "The heat of a region ends at its largest weight."
)


def fit(text: str, inches: float, most: float) -> float:
    """Font size, at most `most`, at which the text is no wider than `inches`."""
    return min(most, inches * 72 / (0.62 * max(1, len(text))))


def caption(label: NDArray[np.uint8], weight: NDArray[np.float32], classes: Sequence[str]) -> str:
    """What a region of weight (H, W) votes for, `car 92%`."""
    found = vote(label, weight, len(classes))
    if found is None:
        return "on no labelled pixel" if weight.any() else "no weight"
    return f"{short(classes[found.label], 24)} {found.share:.0%}"


def short(name: str, most: int) -> str:
    """The first of a class's synonyms, cut to `most` characters."""
    name = name.replace(";", ",").split(",")[0].strip()
    return name if len(name) <= most else name[: most - 1] + "…"


def legend_entries(
    present: list[int], ignored: bool, classes: Sequence[str], colours: NDArray[np.uint8]
) -> list[Any]:
    """Legend handles of the classes present (train ids), and of ignored pixels."""
    from matplotlib.patches import Patch

    entries = [(short(classes[c], 24), tuple(colours[c] / 255)) for c in present]
    if ignored:
        entries.append(("ignored", tuple(c / 255 for c in IGNORED)))
    return [Patch(facecolor=c, edgecolor="#888", linewidth=0.4, label=name) for name, c in entries]


def entry_width(handles: list[Any]) -> float:
    """Inches of the widest entry of the legend, at 7 points."""
    return 0.45 + max((len(handle.get_label()) for handle in handles), default=1) * 0.062
