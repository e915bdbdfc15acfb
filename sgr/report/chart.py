"""A figure of charts between a legend at the top and a caption at the bottom, which make room for themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN = 0.04  # inches
HANDLE = 0.5


def chart(inches: float, height: float, handles: Sequence[Any], caption: str) -> Figure:
    """An empty figure `inches` wide whose charts are to be `height` high, labels of their axes included."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    labels = [handle.get_label() for handle in handles]
    across = style.columns(labels, inches - 2 * MARGIN, HANDLE)
    lines = style.wrapped(caption, inches - 2 * MARGIN)
    legend = 0.15 * math.ceil(len(handles) / across) + 0.1
    figure = Figure(
        (inches, height + legend + style.LINE * len(lines) + 0.08),
        layout=ConstrainedLayoutEngine(w_pad=MARGIN, h_pad=MARGIN),
    )
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=across,
        handlelength=1.8,
        columnspacing=1.2,
        borderpad=0,
        borderaxespad=0.4,
    )
    figure.supxlabel("\n".join(lines), x=MARGIN / inches, ha="left", color="#444444", linespacing=1.2)
    return figure
