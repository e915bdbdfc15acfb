"""The words of the pictures' figures: captions that fit, the legend of classes, and the lines below all pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import style
from .overlay import vote
from .palette import IGNORED


def caption(
    label: NDArray[np.uint8], weight: NDArray[np.float32], classes: Sequence[str], inches: float
) -> str:
    """What a region of weight (H, W) votes for, `car 92%`, in `inches`; of a class's name as much as fits."""
    found = vote(label, weight, len(classes))
    if found is None:
        return style.cut("no labelled pixel" if weight.any() else "no weight", inches)
    share = f" {percent(found.share)}"
    return style.cut(first_name(classes[found.label]), inches - style.width(share)) + share


def percent(share: float) -> str:
    """A share of 1 as `92%`; `<1%` and `>99%` where a round number would say none or all."""
    if 0 < share < 0.01:
        return "<1%"
    return ">99%" if 0.99 < share < 1 else f"{share:.0%}"


def first_name(name: str) -> str:
    """The first of a class's synonyms."""
    return name.replace(";", ",").split(",")[0].strip()


def short(name: str, most: int) -> str:
    """The first of a class's synonyms, cut to `most` characters."""
    name = first_name(name)
    return name if len(name) <= most else name[: most - 1] + "…"


def legend_entries(
    labels: Sequence[NDArray[np.uint8]], classes: Sequence[str], colours: NDArray[np.uint8]
) -> list[Any]:
    """Legend handles of the classes in the label maps, and of ignored pixels where there are any."""
    from matplotlib.patches import Patch

    present = np.unique(np.concatenate([np.unique(label) for label in labels]))
    entries = [(first_name(classes[c]), colours[c]) for c in present if c < len(classes)]
    if (present >= len(classes)).any():
        entries.append(("ignored", np.array(IGNORED)))
    return [
        Patch(facecolor=tuple(rgb / 255), edgecolor="#888", linewidth=0.4, label=name)
        for name, rgb in entries
    ]


def of_images(shown: int, examples: int) -> str:
    """How many of the examples are left out for want of room; empty for none."""
    return "" if shown == examples else f"{shown} of the {examples} example images."
