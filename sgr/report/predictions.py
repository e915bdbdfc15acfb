"""What methods predict on example images, and where they are wrong: two lines an image, a column a method."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgr.datasets import describe
from sgr.errors import UserError

from . import shown, style
from .captions import legend_entries, of_images, percent
from .examples import Example, load
from .labels import Network
from .palette import IGNORED, colour, palette
from .sheet import GREY, Sheet, legend_height

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 0.05  # inches
WRONG = (0, 0, 0)  # no palette has it
KEY = "Above: prediction, single-scale. Below: where it is wrong, and on how many of the labelled pixels."


class Predicted(NamedTuple):
    """A method and its label maps (H, W) uint8, one an example."""

    network: Network
    maps: Sequence[NDArray[np.uint8]]


def write_predictions(
    file: Path, examples: Path, dataset: str, rows: Mapping[str, Network], path: Path
) -> None:
    """Draw work/<profile>/predictions/<dataset>.npz as PNG and PDF.

    Args:
        examples: work/<profile>/tokens/<dataset>; each of its files holds the same images.
        rows: of params.yaml by name.
    """
    own = {row: network for row, network in rows.items() if network.dataset == dataset}
    images = load(min(examples.glob("*.npz")))
    found = read(file, len(images))
    methods = [Predicted(own[row], found[row]) for row in shown.leading(own, found)]
    description = describe(dataset)
    colours = palette(description.palette, len(description.classes))
    with style.drawing():
        left_out = shown.left_out(own, found)
        style.write_figure(draw_predictions(methods, images, description.classes, colours, left_out), path)


def read(path: Path, images: int) -> dict[str, list[NDArray[np.uint8]]]:
    """The label maps by row. Raises UserError for a file that does not hold them for so many images."""
    try:
        with np.load(path, allow_pickle=False) as data:
            rows = dict.fromkeys(name.rpartition("_")[0] for name in data.files)
            return {row: [data[f"{row}_{number}"] for number in range(images)] for row in rows}
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} does not hold predictions on {images} images ({error})") from None


def wrong(predicted: NDArray[np.uint8], label: NDArray[np.uint8], classes: int) -> NDArray[np.bool_]:
    """The labelled pixels whose predicted class is another: (H, W)."""
    return (predicted != label) & (label < classes)


def error_map(
    image: NDArray[np.uint8], errors: NDArray[np.bool_], labelled: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Errors in colour on the pale grey image (H, W, 3); pixels without a label as in the label's picture."""
    picture = np.repeat(110 + 0.5 * image.astype(np.float32).mean(-1, keepdims=True), 3, axis=-1)
    picture[~labelled] = IGNORED
    picture[errors] = WRONG
    return picture.astype(np.uint8)


def draw_predictions(
    methods: Sequence[Predicted],
    examples: Sequence[Example],
    classes: Sequence[str],
    colours: NDArray[np.uint8],
    left_out: str = "",
) -> Figure:
    """The image over its label, and beside them each method's prediction over its errors.

    Args:
        classes: names by train id.
        colours: (classes, 3) uint8.
        left_out: the words that name the rows that are not drawn.
    """
    columns = max(3, 1 + len(methods))
    width = (style.TWO_COLUMNS - (columns - 1) * GAP) / columns
    names = shown.methods([method.network for method in methods])
    titles = [style.wrapped(name, width, "bold") for name in names]
    head = 0.05 + style.LINE * max(map(len, titles))
    heights: list[float] = []
    for example in examples:
        heights.append(width * min(1.3, example.image.shape[0] / example.image.shape[1]))
        if len(heights) > 1 and sum(map(_block, heights)) > style.TALLEST - head - 1.0:
            heights.pop()
            break
    images = examples[: len(heights)]
    seen = [example.label for example in images]
    seen += [found for method in methods for found in method.maps[: len(images)]]
    handles = [*legend_entries(seen, classes, colours), _wrong_entry()]
    words = " ".join(filter(None, (KEY, left_out, of_images(len(images), len(examples)))))
    lines = style.wrapped(words, style.TWO_COLUMNS)
    foot = 0.06 + legend_height(handles) + style.LINE * len(lines)
    sheet = Sheet(head + sum(map(_block, heights)) + foot)
    sheet.text(width / 2, head - 0.03, "image", ha="center", va="bottom")
    for column, title in enumerate(titles, start=1):
        middle = column * (width + GAP) + width / 2
        sheet.text(middle, head - 0.03, "\n".join(title), ha="center", va="bottom", fontweight="bold")
    top = head
    for number, (example, height) in enumerate(zip(images, heights, strict=True)):
        _column(sheet, (0, top, width, height), example.image, colour(example.label, colours), "label")
        for column, method in enumerate(methods, start=1):
            labelled = example.label < len(classes)
            errors = wrong(method.maps[number], example.label, len(classes))
            share = percent(errors.sum() / max(1, labelled.sum()))
            _column(
                sheet,
                (column * (width + GAP), top, width, height),
                colour(method.maps[number], colours),
                error_map(example.image, errors, labelled),
                f"{share} wrong",
            )
        top += _block(height)
    sheet.legend(top + 0.04, handles)
    sheet.text(0, top + 0.06 + legend_height(handles), "\n".join(lines), color=GREY, linespacing=1.2)
    return sheet.figure


def _column(
    sheet: Sheet,
    place: tuple[float, float, float, float],
    above: NDArray[np.uint8],
    below: NDArray[np.uint8],
    words: str,
) -> None:
    """Two pictures of a width and height at a left upper corner, with words between them."""
    left, top, width, height = place
    sheet.picture(left, top, width, height, above)
    sheet.text(left + width / 2, top + height + style.LINE - 0.035, words, ha="center", va="baseline")
    sheet.picture(left, top + height + style.LINE, width, height, below)


def _block(height: float) -> float:
    return 2 * height + style.LINE + 2 * GAP


def _wrong_entry() -> object:
    from matplotlib.patches import Patch

    return Patch(
        facecolor=(WRONG[0] / 255, WRONG[1] / 255, WRONG[2] / 255),
        edgecolor="#888",
        linewidth=0.4,
        label="wrong",
    )
