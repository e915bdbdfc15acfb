"""Pictures of a prediction: the classes laid over the photograph, and its most active regions side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sgr.data.files import Bytes
from sgr.report.captions import percent, short
from sgr.report.overlay import heat, on_image, vote
from sgr.report.palette import colour

OPACITY = 0.55  # of the classes' colours
PANEL, COLUMNS = 480, 3  # pixels of the wider side of a region's picture, and pictures a row
TEXT, MARGIN = 18, 8  # pixels


def overlay(photo: Bytes, labels: Bytes, names: Sequence[str], colours: Bytes) -> Image.Image:
    """The photo (H, W, 3) under the colours of its labels (H, W), and below it a legend of the classes there.

    Args:
        colours: (classes, 3).
    """
    mixed = (1 - OPACITY) * photo + OPACITY * colour(labels, colours)
    picture = Image.fromarray(mixed.round().astype(np.uint8))
    counts = np.bincount(labels.ravel(), minlength=len(names))
    present = [int(index) for index in counts.argsort(kind="stable")[::-1] if counts[index]]
    entries = [(short(names[index], 24), tuple(map(int, colours[index]))) for index in present]
    legend = _legend(entries, max(picture.width, PANEL))
    whole = Image.new("RGB", (legend.width, picture.height + legend.height), "white")
    whole.paste(picture, (0, 0))
    whole.paste(legend, (0, picture.height))
    return whole


def _legend(entries: Sequence[tuple[str, tuple[int, ...]]], width: int) -> Image.Image:
    """A square of its colour before each name, in as many lines as the width asks for."""
    font = ImageFont.load_default(TEXT)
    step = TEXT + MARGIN
    places: list[tuple[int, int]] = []
    left, line = MARGIN, 0
    for name, _ in entries:
        taken = step + round(font.getlength(name)) + 2 * MARGIN
        if left > MARGIN and left + taken > width:
            left, line = MARGIN, line + 1
        places.append((left, MARGIN + line * step))
        left += taken
    legend = Image.new("RGB", (width, 2 * MARGIN + (line + 1) * step), "white")
    draw = ImageDraw.Draw(legend)
    for (name, filled), (x, y) in zip(entries, places, strict=True):
        draw.rectangle((x, y, x + TEXT, y + TEXT), fill=filled, outline="#888")
        draw.text((x + step, y + TEXT // 2), name, "black", font, anchor="lm")
    return legend


def regions(
    photo: Bytes,
    found: NDArray[np.float32],
    covers: tuple[int, int],
    labels: Bytes,
    names: Sequence[str],
) -> Image.Image:
    """Regions (R, h, w) as heat on the photo (H, W, 3), each under the class that most of its weight lies on.

    Args:
        covers: height and width in the photo's pixels that the regions' cells lie over.
        labels: (H, W) predicted classes.
    """
    height, width = photo.shape[:2]
    scale = PANEL / max(height, width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    small = np.array(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR))
    classes = np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    lie_over = round(scale * covers[0]), round(scale * covers[1])
    across, down = size[0] + MARGIN, size[1] + TEXT + 2 * MARGIN
    columns = min(COLUMNS, len(found))
    sheet = Image.new("RGB", (MARGIN + columns * across, -(-len(found) // columns) * down + MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for number, region in enumerate(found):
        x, y = MARGIN + number % columns * across, number // columns * down
        weight = on_image(region, (size[1], size[0]), (max(size[1], lie_over[0]), max(size[0], lie_over[1])))
        found_on = vote(classes, weight, len(names))
        said = f"{short(names[found_on.label], 24)} {percent(found_on.share)}" if found_on else "no weight"
        draw.text((x, y + MARGIN + TEXT // 2), said, "black", font, anchor="lm")
        sheet.paste(Image.fromarray(heat(small, weight)), (x, y + TEXT + 2 * MARGIN))
    return sheet
