"""What every figure shares: its width on a page, its text, and bytes of the picture alone."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches: one column and both columns of a page, and what its height leaves to a figure.
ONE_COLUMN, TWO_COLUMNS, TALLEST = 3.3, 6.9, 8.8
TEXT = 7  # points
LINE = 0.14  # inches that a line of text takes
DPI = 150  # of the PNG, which is then about as wide as a web page's column
# Type 42 embeds the glyphs as outlines, which publishers ask for.
SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # it ships with matplotlib
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "legend.fontsize": TEXT,
    "figure.titlesize": TEXT,
    "figure.labelsize": TEXT,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "text.hinting": "none",  # else a word's width hangs on the resolution
    "image.composite_image": False,
}


@contextmanager
def drawing() -> Iterator[None]:
    """matplotlib's own defaults with our SETTINGS, whatever the user's matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        matplotlib.rcParams.update(SETTINGS)
        yield


@cache
def width(words: str, weight: str = "normal") -> float:
    """Inches of a line of text, measured from its outlines."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans", weight=weight)
    # a space has no outline: the stop at the end is there to be subtracted
    ends = [TextPath((0, 0), text, size=TEXT, prop=font).get_extents().x1 for text in (f"{words}.", ".")]
    return 1.01 * float(ends[0] - ends[1]) / 72  # the PNG's letters stand on whole pixels


def cut(words: str, inches: float) -> str:
    """As much of the words as fits, the rest an ellipsis."""
    if width(words) <= inches:
        return words
    kept = max((n for n in range(len(words)) if width(f"{words[:n]}…") <= inches), default=0)
    return words[:kept].rstrip(" -,") + "…"


def cut_start(words: str, inches: float) -> str:
    """The same from the end of the words: names of images begin alike."""
    if width(words) <= inches:
        return words
    kept = min((n for n in range(len(words)) if width(f"…{words[n:]}") <= inches), default=len(words))
    return "…" + words[kept:].lstrip(" -_")


def wrapped(words: str, inches: float, weight: str = "normal") -> list[str]:
    """The words in lines that are no wider than `inches`; a longer word is cut."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or width(longer, weight) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line if width(line, weight) <= inches else cut(line, inches) for line in lines]


def columns(labels: Sequence[str], inches: float, handle: float = 0.4) -> int:
    """How many entries of a legend fit beside each other; `handle`: inches of an entry beside its label."""
    widest = handle + max((width(label) for label in labels), default=0.0)
    return max(1, min(len(labels), int(inches / widest)))


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG at `path` and as PDF beside it, without name or date: equal pictures are equal bytes."""
    for suffix, metadata in (
        ("png", {"Software": None}),
        ("pdf", {"Creator": None, "Producer": None, "CreationDate": None}),
    ):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, dpi=DPI, metadata=metadata, facecolor="white")
        write_bytes(path.with_suffix(f".{suffix}"), buffer.getvalue())


def write_sentence(sentence: str, path: Path) -> None:
    """A picture that holds one sentence: what a stage draws when there is nothing to draw."""
    from matplotlib.figure import Figure

    with drawing():
        lines = wrapped(sentence, ONE_COLUMN - 0.2)
        figure = Figure(figsize=(ONE_COLUMN, 0.5 + LINE * len(lines)))
        figure.text(0.5, 0.5, "\n".join(lines), ha="center", va="center")
        write_figure(figure, path)
