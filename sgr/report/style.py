"""What every figure shares: fonts, colours of rows, and PNG bytes that depend on the picture alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sgr.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 160
# Okabe and Ito's colours, told apart by colour-blind readers; black and their pale yellow left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5F4690", "#666666")
DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


@contextmanager
def drawing() -> Iterator[None]:
    """matplotlib's own defaults with our fonts, whatever the user's matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        matplotlib.rcParams.update(
            {
                "font.family": "DejaVu Sans",  # it ships with matplotlib
                "font.size": 8,
                "axes.titlesize": 8,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "legend.frameon": False,
            }
        )
        yield


def row_style(number: int) -> dict[str, object]:
    """Colour and line style of the number-th row: 32 that differ."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number // len(COLOURS) % len(DASHES)],
    }


def write_figure(figure: Figure, path: Path, dpi: int = DPI) -> None:
    """Write a figure as PNG without software name or date, so that equal pictures are equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None}, facecolor="white")
    write_bytes(path, buffer.getvalue())


def write_sentence(sentence: str, path: Path) -> None:
    """A picture that holds one sentence: what a stage draws when there is nothing to draw."""
    from matplotlib.figure import Figure

    with drawing():
        figure = Figure(figsize=(7, 0.7))
        figure.text(0.5, 0.5, sentence, ha="center", va="center", wrap=True)
        write_figure(figure, path)
