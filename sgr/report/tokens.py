"""Figure 4 of the paper: what tokens attend to, two lines an image, a group of columns a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgr.datasets import describe

from . import shown, style
from .captions import caption, legend_entries, of_images
from .examples import Example, load, same_images
from .labels import Network
from .overlay import heat, on_image
from .palette import colour, palette
from .sheet import GREY, Sheet, legend_height

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP, GROUP_GAP, HEAD, BAR = 0.04, 0.12, 0.24, 0.2  # inches; BAR: of the scale of the heat
KEY = (
    "Each method's most active regions, in reading order; over a region: the class with most of its labelled weight, "
    "and its share."
)


class Grid(NamedTuple):
    """Inches of a picture's width and of each image's pictures, and how many regions of a method a line holds."""

    width: float
    heights: list[float]
    across: int

    def start(self, group: int, column: int = 0) -> float:
        """The left edge of a column of a method's regions; group -1 is the image's own."""
        if group < 0:
            return 0.0
        of_group = self.across * self.width + (self.across - 1) * GAP
        return self.width + (group + 1) * GROUP_GAP + group * of_group + column * (self.width + GAP)


def write_tokens(folder: Path, dataset: str, rows: Mapping[str, Network], path: Path) -> None:
    """Draw work/<profile>/tokens/<dataset>/<row>.npz as PNG and PDF; without any, a picture that says so.

    Args:
        rows: of params.yaml by name; of those of the dataset that have regions, the leading four are drawn.
    """
    description = describe(dataset)
    own = {
        row: network for row, network in rows.items() if network.dataset == dataset and network.has_regions
    }
    found = {row: load(folder / f"{row}.npz") for row in own if (folder / f"{row}.npz").exists()}
    active = {row: images for row, images in found.items() if any(len(image.regions) for image in images)}
    chosen = sorted(shown.leading(own, active), key=lambda row: _order(own[row]))
    if not chosen:
        style.write_sentence(f"No row of {description.title} has concept regions to show.", path)
        return
    same_images({row: active[row] for row in chosen})
    groups = [(own[row], active[row]) for row in chosen]
    colours = palette(description.palette, len(description.classes))
    with style.drawing():
        figure = draw_tokens(groups, description.classes, colours, shown.left_out(own, chosen))
        style.write_figure(figure, path)


def draw_tokens(
    groups: Sequence[tuple[Network, Sequence[Example]]],
    classes: Sequence[str],
    colours: NDArray[np.uint8],
    left_out: str = "",
) -> Figure:
    """Two lines an image: the image over its label, and beside them the most active regions of every row.

    Args:
        groups: network and examples of each row, the same images in every row.
        classes: names by train id.
        colours: (classes, 3) uint8.
        left_out: the words that name the rows that are not drawn.
    """
    examples = groups[0][1]
    grid = _grid(len(groups), examples)
    images = examples[: len(grid.heights)]
    handles = legend_entries([example.label for example in images], classes, colours)
    words = " ".join(filter(None, (KEY, left_out, of_images(len(images), len(examples)))))
    lines = style.wrapped(words, style.TWO_COLUMNS)
    foot = BAR + legend_height(handles) + style.LINE * len(lines)
    sheet = Sheet(HEAD + sum(map(_block, grid.heights)) + foot)
    _titles(sheet, grid, [network for network, _ in groups])
    top = HEAD
    for number, height in enumerate(grid.heights):
        _image(sheet, grid, top, height, [of_row[number] for _, of_row in groups], classes, colours)
        top += _block(height)
    _scale(sheet, top)
    sheet.legend(top + BAR, handles)
    sheet.text(0, top + BAR + legend_height(handles), "\n".join(lines), color=GREY, linespacing=1.2)
    return sheet.figure


def _grid(groups: int, examples: Sequence[Example]) -> Grid:
    """Pictures as large as the page allows, and as many images as its height does."""
    across = {1: 3, 2: 3}.get(groups, 2)
    gaps = groups * GROUP_GAP + groups * (across - 1) * GAP
    width = (style.TWO_COLUMNS - gaps) / (1 + groups * across)
    heights: list[float] = []
    for example in examples:
        height = width * min(1.3, example.image.shape[0] / example.image.shape[1])
        if heights and sum(map(_block, [*heights, height])) > style.TALLEST - HEAD - 1.2:
            break
        heights.append(height)
    return Grid(width, heights, across)


def _block(height: float) -> float:
    """Inches that an image takes: two lines of pictures with captions."""
    return 2 * (height + style.LINE + GAP) + GAP


def _image(
    sheet: Sheet,
    grid: Grid,
    top: float,
    height: float,
    of_rows: Sequence[Example],
    classes: Sequence[str],
    colours: NDArray[np.uint8],
) -> None:
    """The image over its label, and the regions of every row."""

    def picture(left: float, line: int, words: str, pixels: NDArray[np.uint8]) -> None:
        y = top + line * (height + style.LINE + GAP)
        sheet.text(left + grid.width / 2, y + style.LINE - 0.035, words, ha="center", va="baseline")
        sheet.picture(left, y + style.LINE, grid.width, height, pixels)

    first = of_rows[0]
    picture(0, 0, style.cut_start(first.name, grid.width), first.image)
    picture(0, 1, "label", colour(first.label, colours))
    for group, example in enumerate(of_rows):
        for place, region in enumerate(example.regions[: 2 * grid.across]):
            weight = on_image(region, example.label.shape, example.covers)
            words = caption(example.label, weight, classes, grid.width + GAP / 2)
            line, column = divmod(place, grid.across)
            picture(grid.start(group, column), line, words, heat(example.image, weight))
        if not len(example.regions):
            middle = grid.start(group) + (grid.start(group, grid.across) - grid.start(group) - GAP) / 2
            sheet.text(middle, top + height, "no active region", ha="center", color=GREY)


def _titles(sheet: Sheet, grid: Grid, networks: Sequence[Network]) -> None:
    for group, title in enumerate(shown.titles(networks)):
        left, right = grid.start(group), grid.start(group, grid.across) - GAP
        words = style.cut(title, (right - left) / 1.15)  # bold letters are wider
        sheet.text((left + right) / 2, 0.14, words, ha="center", va="baseline", fontweight="bold")
        sheet.rule(left, right, 0.19)


def _scale(sheet: Sheet, top: float) -> None:
    """What the heat means, as it looks on a grey picture."""
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    middle, half = sheet.width / 2, 0.8
    pixels = heat(np.full((1, 256, 3), 128, dtype=np.uint8), ramp)
    sheet.picture(middle - half, top + 0.04, 2 * half, 0.09, pixels)
    sheet.text(middle - half - 0.05, top + 0.09, "weight 0", ha="right", va="center_baseline")
    sheet.text(middle + half + 0.05, top + 0.09, "the region's largest weight", va="center_baseline")


def _order(network: Network) -> tuple[object, ...]:
    """Ablations last; of each framework SGR first, as in the paper, then GloRe, then the head's own masks."""
    units = {"sgr": 0, "glore": 1}
    return bool(network.changes), network.plain.order, units.get(network.unit, 2), network.order
