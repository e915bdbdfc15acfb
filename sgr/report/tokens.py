"""Figure 4 of the paper: what tokens attend to, a line an image, a group of columns a row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgr.datasets import describe

from . import published, style
from .captions import KEY, caption, entry_width, fit, legend_entries
from .examples import Example, load, same_images
from .labels import Network
from .overlay import heat, on_image
from .palette import colour, palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches: a picture, the space between pictures and between groups, the caption over a picture, the margins.
PANEL, GAP, GROUP_GAP, CAPTION, LEFT, HEAD, LINE = 1.75, 0.06, 0.24, 0.24, 0.1, 0.42, 0.155
TALLEST = 1.3 * PANEL
MOST_ROWS = 6
DPI = 120  # photographs: a finer PNG is only larger


def write_tokens(folder: Path, dataset: str, rows: Mapping[str, Network], path: Path) -> None:
    """Draw work/<profile>/tokens/<dataset>/<row>.npz as one PNG; without any, a picture that says so.

    Of more than MOST_ROWS rows, those of the paper's Table 2 are shown first, then those of its Table 1, then our own,
    and ablations last.

    Args:
        rows: of params.yaml by name; those of the dataset are drawn.
    """
    description = describe(dataset)
    files = {row: folder / f"{row}.npz" for row in rows if rows[row].dataset == dataset}
    ranked = sorted((row for row in files if files[row].exists()), key=lambda row: _rank(rows[row]))
    loaded = ((row, load(files[row])) for row in ranked)
    active = ((row, images) for row, images in loaded if any(len(image.regions) for image in images))
    shown = dict(sorted(islice(active, MOST_ROWS), key=lambda item: _order(rows[item[0]])))
    if not shown:
        style.write_sentence(f"No row of {description.title} has concept regions to show.", path)
        return
    same_images(shown)
    classes = description.classes
    groups = [(rows[row], images) for row, images in shown.items()]
    with style.drawing():
        style.write_figure(
            draw_tokens(groups, classes, palette(description.palette, len(classes))), path, DPI
        )


def draw_tokens(
    groups: Sequence[tuple[Network, Sequence[Example]]],
    classes: Sequence[str],
    colours: NDArray[np.uint8],
    most: int | None = None,
) -> Figure:
    """One line an image: image, label, then the most active regions of every row.

    Args:
        groups: network and examples of each row, the same images in every row.
        classes: names by train id.
        colours: (classes, 3) uint8.
        most: regions shown of a row; unless told 6 of a single row, 4 of two, 3 of three, else 2.
    """
    from matplotlib.figure import Figure

    most = most or {1: 6, 2: 4, 3: 3}.get(len(groups), 2)
    columns = [min(most, max(len(e.regions) for e in examples)) for _, examples in groups]
    starts, edge = _columns(columns)
    images = groups[0][1]
    heights = [min(TALLEST, PANEL * e.image.shape[0] / e.image.shape[1]) for e in images]
    present = sorted({int(c) for e in images for c in np.unique(e.label) if c < len(classes)})
    ignored = any(bool((e.label >= len(classes)).any()) for e in images)
    handles = legend_entries(present, ignored, classes, colours)
    width = edge + 0.1
    per_line = max(1, min(len(handles), int((width - 0.2) / entry_width(handles))))
    legend = LINE * math.ceil(len(handles) / per_line) + 0.36
    total = HEAD + sum(heights) + CAPTION * len(heights) + 0.1 + legend
    figure = Figure(figsize=(width, total))

    def panel(left: float, top: float, height: float, picture: NDArray[np.uint8]) -> Axes:
        axes = figure.add_axes((left / width, 1 - (top + height) / total, PANEL / width, height / total))
        axes.imshow(picture, interpolation="none" if picture.shape[1] < 400 else "antialiased")
        axes.set_axis_off()
        return axes

    _group_titles(figure, [network for network, _ in groups], columns, starts, width, total)
    top = HEAD
    for number, (example, height) in enumerate(zip(images, heights, strict=True)):
        top += CAPTION
        image = panel(LEFT, top, height, example.image)
        image.set_title(example.name, fontsize=fit(example.name, PANEL, 6.5), pad=3)
        label = panel(LEFT + PANEL + GAP, top, height, colour(example.label, colours))
        label.set_title("label", fontsize=6.5, pad=3)
        for (_, examples), shown_of_row, start in zip(groups, columns, starts, strict=True):
            shown = examples[number]
            if not len(shown.regions):
                x, y = (start + PANEL / 2) / width, 1 - (top + height / 2) / total
                figure.text(x, y, "no active region", ha="center", va="center", fontsize=6.5, color="#444")
            for column, region in enumerate(shown.regions[:shown_of_row]):
                weight = on_image(region, shown.label.shape, shown.covers)
                axes = panel(start + column * (PANEL + GAP), top, height, heat(shown.image, weight))
                axes.set_title(caption(shown.label, weight, classes), fontsize=6.5, pad=3)
        top += height
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=per_line,
        fontsize=7,
        handlelength=1.2,
        bbox_to_anchor=(0.5, 0.18 / total),
    )
    figure.text(0.5, 0.08 / total, KEY, ha="center", fontsize=fit(KEY, width, 6.5), color="#444")
    return figure


def _rank(network: Network) -> tuple[Any, ...]:
    """Which rows to show, if not all."""
    as_in_paper = replace(network, training=())
    papers = [[line.network for line in published.load(table)] for table in ("table2", "table1")]
    return bool(network.changes), *(as_in_paper not in paper for paper in papers), network.order


def _order(network: Network) -> tuple[Any, ...]:
    """Ablations last; of each framework SGR first, as in the paper, then GloRe, then the head's own masks."""
    return (
        bool(network.changes),
        network.plain.order,
        {"sgr": 0, "glore": 1}.get(network.unit, 2),
        network.order,
    )


def _columns(groups: list[int]) -> tuple[list[float], float]:
    """Left edge of each group of columns, and the right edge of the last, in inches."""
    edge, starts = LEFT + 2 * PANEL + GAP, []
    for number in groups:
        starts.append(edge + GROUP_GAP)
        edge = starts[-1] + number * PANEL + (number - 1) * GAP
    return starts, edge


def _group_titles(
    figure: Figure,
    networks: Sequence[Network],
    columns: Sequence[int],
    starts: Sequence[float],
    width: float,
    total: float,
) -> None:
    short = [network.addition or network.method for network in networks]
    unique = len(set(short)) == len(short)
    titles = short if unique else [network.method for network in networks]
    for title, number, start in zip(titles, columns, starts, strict=True):
        span = number * PANEL + (number - 1) * GAP
        x, y = (start + span / 2) / width, 1 - 0.2 / total
        figure.text(x, y, title, ha="center", va="center", fontsize=fit(title, span, 10), fontweight="bold")
        line = 1 - 0.36 / total
        figure.add_artist(_line(start / width, (start + span) / width, line))


def _line(left: float, right: float, y: float) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([left, right], [y, y], color="#444", linewidth=0.8)
