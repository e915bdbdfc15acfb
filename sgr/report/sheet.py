"""A page of pictures: everything is placed in inches from the upper left corner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FINEST = 200  # pixels an inch: more are of no use in print
GREY = "#444444"
PATCH = 0.42  # inches of a legend's entry beside its label


class Sheet:
    """A figure as wide as both columns of a page."""

    def __init__(self, height: float) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = style.TWO_COLUMNS, height
        self.figure = Figure(figsize=(self.width, height))

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes without a frame or ticks."""
        place = (
            left / self.width,
            1 - (top + height) / self.height,
            width / self.width,
            height / self.height,
        )
        axes = self.figure.add_axes(place)
        axes.set_axis_off()
        return axes

    def picture(
        self, left: float, top: float, width: float, height: float, pixels: NDArray[np.uint8]
    ) -> Axes:
        """A picture (H, W, 3), reduced to what can be seen in print."""
        from PIL import Image

        finest = (round(width * FINEST), round(height * FINEST))
        if pixels.shape[1] > finest[0] and pixels.shape[0] > finest[1]:
            pixels = np.asarray(Image.fromarray(pixels).resize(finest, Image.Resampling.BOX))
        axes = self.axes(left, top, width, height)
        axes.imshow(pixels, interpolation="none", aspect="auto")
        return axes

    def text(self, left: float, top: float, words: str, **how: Any) -> None:
        """Words whose upper left corner is there, unless told otherwise."""
        how = {"ha": "left", "va": "top", **how}
        self.figure.text(left / self.width, 1 - top / self.height, words, **how)

    def rule(self, left: float, right: float, top: float) -> None:
        """A horizontal line."""
        from matplotlib.lines import Line2D

        ends, y = [left / self.width, right / self.width], 1 - top / self.height
        self.figure.add_artist(Line2D(ends, [y, y], color=GREY, linewidth=0.6))

    def legend(self, top: float, handles: Sequence[Any]) -> None:
        """Entries in lines over the whole width."""
        self.figure.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, 1 - top / self.height),
            ncols=style.columns([handle.get_label() for handle in handles], self.width, PATCH),
            handlelength=1.2,
            columnspacing=1.2,
            borderpad=0,
            borderaxespad=0,
        )


def legend_height(handles: Sequence[Any]) -> float:
    """Inches that `Sheet.legend` takes."""
    labels = [handle.get_label() for handle in handles]
    return 0.15 * math.ceil(len(handles) / style.columns(labels, style.TWO_COLUMNS, PATCH)) + 0.04
