"""How methods look: a colour, a line style and a marker each, the same in every figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .labels import UNITS, Network

# Okabe and Ito's colours, told apart by colour-blind readers; black and their pale yellow left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5F4690", "#666666")
DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def looks(networks: Sequence[Network]) -> list[dict[str, Any]]:
    """Colour, line style and marker of each: a unit has the same in every figure, other rows those that are left."""
    units = list(UNITS)
    found: list[dict[str, Any]] = []
    taken: list[int] = []
    for network in networks:
        own = network.changes or network.training or (network.prototypes and network.unit != "none")
        place = len(units) if network.prototypes else units.index(network.unit)
        if own or place in taken:
            place = max([*taken, len(units)]) + 1
        taken.append(place)
        found.append(
            {
                "color": COLOURS[place % len(COLOURS)],
                "linestyle": DASHES[place // len(COLOURS) % len(DASHES)],
                "marker": MARKERS[place % len(MARKERS)],
            }
        )
    return found
