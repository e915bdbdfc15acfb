"""Table 3 as a figure: average precision of boxes and masks, fine-tuned from each start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import dots, results, shown, style
from .chart import chart
from .dots import Dots
from .labels import Network
from .results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {"box": "boxes", "mask": "masks"}
# COCO's measures: over all IoU thresholds, at two of them, and of small, medium and large instances
MEASURES = {
    "ap": "AP",
    "ap50": "AP$_{50}$",
    "ap75": "AP$_{75}$",
    "ap_s": "AP$_S$",
    "ap_m": "AP$_M$",
    "ap_l": "AP$_L$",
}


def write_average_precision(
    folder: Path, dataset: str, split: str, rows: Mapping[str, Network], path: Path
) -> None:
    """Draw the average precision in results/<profile>/<dataset>/<row>.json as PNG and PDF; a sentence without any.

    Args:
        folder: results/<profile>.
        rows: of Table 3 by name; the leading four that have a result are drawn.
    """
    found = {row: result for row in rows if (result := results.load(folder, dataset, row))}
    chosen = shown.leading(rows, found)
    if not chosen:
        style.write_sentence("No row of Table 3 is evaluated yet.", path)
        return
    methods = [{kind: Dots(rows[row], of_kind(found[row], split, kind)) for kind in KINDS} for row in chosen]
    about = f"{results.measured_on([found[row] for row in chosen], dataset, split)}."
    with style.drawing():
        figure = draw_average_precision(methods, about, shown.left_out(rows, chosen))
        style.write_figure(figure, path)


def of_kind(result: Result, split: str, kind: str) -> np.ndarray:
    """Average precision of boxes or masks in percent, (seeds, MEASURES); NaN where there is no such instance."""
    by_measure = [result.values(split, f"{kind}_{measure}") for measure in MEASURES]
    return np.array(
        [[found.get(seed, np.nan) for found in by_measure] for seed in result.seeds], dtype=np.float64
    )


def draw_average_precision(methods: Sequence[Mapping[str, Dots]], about: str, left_out: str = "") -> Figure:
    """Boxes on the left and masks on the right, on one scale, and a dot a method for each measure that any has.

    Args:
        methods: the numbers of each by KINDS.
        about: what the numbers are of, in words; left_out: which rows are not drawn.
    """
    first = [method["box"] for method in methods]
    words = " ".join(filter(None, (about, dots.seeds_in_words(first), left_out)))
    handles = dots.handles(first, shown.methods([method.network for method in first]))
    every = np.concatenate([of.values for method in methods for of in method.values()])
    kept = np.flatnonzero(~np.isnan(every).all(0))
    figure = chart(style.ONE_COLUMN, 0.6 + 0.22 * len(kept), handles, words)
    panels = figure.subplots(1, len(KINDS), sharex=True, sharey=True)
    names = [list(MEASURES.values())[index] for index in kept]
    for axes, (kind, title) in zip(panels, KINDS.items(), strict=True):
        of_kind = [method[kind] for method in methods]
        dots.draw(
            axes, names, [of._replace(values=of.values[:, kept]) for of in of_kind], float(np.nanmax(every))
        )
        axes.set_title(title, loc="left")
        axes.set_xlabel("average precision (%)")
    return figure
