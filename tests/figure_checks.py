"""What any figure must be: as wide as a column or two, all its text inside it and readable, no panel empty."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from sgr.report import style

SLACK = 0.5  # pixels of rounding


def check(figure: Figure) -> None:
    """Assert all of it."""
    figure.set_dpi(style.DPI)  # letters are a little wider or narrower at another
    with style.drawing():
        figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    assert width in (style.ONE_COLUMN, style.TWO_COLUMNS) and height <= style.TALLEST + 0.2
    unseen = beyond(figure)
    words = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    words = [text for text in words if text not in unseen]
    shown = [(text.get_text(), text.get_window_extent()) for text in words]
    assert {text.get_fontsize() for text in words} == {style.TEXT}
    page = figure.bbox
    cut = [
        name
        for name, box in shown
        if box.x0 < -SLACK or box.y0 < -SLACK or box.x1 > page.x1 + SLACK or box.y1 > page.y1 + SLACK
    ]
    assert cut == [], cut
    overlapping = [(a, b) for (a, one), (b, other) in combinations(shown, 2) if overlap(one, other)]
    assert overlapping == [], overlapping
    for axes in figure.axes:
        assert axes.images or axes.lines or axes.patches or axes.collections, axes.get_title()
        if axes.images and not axes.axison:  # no words over a picture
            assert [name for name, box in shown if overlap(box, axes.get_window_extent())] == []


def beyond(figure: Figure) -> set[Any]:
    """Labels of ticks outside their axis, which matplotlib keeps and does not draw."""
    found = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        found |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    return found


def overlap(one: Any, other: Any) -> bool:
    """Whether two boxes share more than an edge."""
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return bool(wide > SLACK and high > SLACK)


def check_files(path: Path) -> tuple[bytes, bytes]:
    """Assert that a PNG and its PDF are of one size, with embedded fonts and without a date; their bytes."""
    png, pdf = path.read_bytes(), path.with_suffix(".pdf").read_bytes()
    assert b"Software" not in png and b"/CreationDate" not in pdf and b"matplotlib" not in pdf.lower()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf
    box = pdf.partition(b"/MediaBox [")[2].partition(b"]")[0].split()
    with Image.open(path) as image:
        inches = [float(points) / 72 for points in box[2:]]
        assert image.size == tuple(int(side * style.DPI + 1e-6) for side in inches)
    assert round(inches[0], 2) in (style.ONE_COLUMN, style.TWO_COLUMNS)
    return png, pdf
