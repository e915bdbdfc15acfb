"""A dot for each method on a line for each class or measure: its mean over seeds, and a bar that spans them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .labels import Network
from .looks import looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPREAD = 0.5  # of a line, over which the dots of its methods are spread


class Dots(NamedTuple):
    """The numbers of a method: (seeds, lines), NaN where there is none."""

    network: Network
    values: NDArray[np.float64]


def draw(axes: Axes, names: Sequence[str], methods: Sequence[Dots], most: float) -> None:
    """A line a name, the first at the top, and on it a dot a method, the first highest; the scale ends past `most`."""
    places = np.arange(len(names), dtype=np.float64)
    offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(methods)) if len(methods) > 1 else [0.0]
    found = looks([method.network for method in methods])
    for method, look, offset in zip(methods, found, offsets, strict=True):
        there = ~np.isnan(method.values).all(0)
        values, y = method.values[:, there], places[there] + offset
        axes.hlines(y, np.nanmin(values, 0), np.nanmax(values, 0), color=look["color"], linewidth=0.8)
        axes.plot(
            np.nanmean(values, 0),
            y,
            look["marker"],
            color=look["color"],
            markersize=3.2,
            mew=0,
            clip_on=False,
            zorder=3,
        )
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.04 * most or 1)
    for place in places[1:] - 0.5:
        axes.axhline(place, color="#dddddd", linewidth=0.5, zorder=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.5, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def handles(methods: Sequence[Dots], titles: Sequence[str]) -> list[Any]:
    """Entries of the legend."""
    from matplotlib.lines import Line2D

    found = looks([method.network for method in methods])
    return [
        Line2D([], [], color=look["color"], marker=look["marker"], markersize=3.5, mew=0, lw=0.8, label=title)
        for look, title in zip(found, titles, strict=True)
    ]


def seeds_in_words(methods: Sequence[Dots]) -> str:
    """`One seed.`, or what dots and bars are of several."""
    most = max(len(method.values) for method in methods)
    return (
        "One seed." if most == 1 else f"Dots: means of up to {most} seeds; bars: from the least to the most."
    )
