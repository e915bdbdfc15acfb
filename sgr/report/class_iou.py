"""IoU of every class: where methods differ, a dot a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sgr.datasets import describe
from sgr.errors import UserError

from . import dots, results, shown, style
from .captions import first_name
from .chart import chart
from .dots import Dots
from .labels import Network
from .results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRIC = "iou_ss"
MOST_CLASSES = 30
NAME, LINE = 1.15, 0.16  # inches: of a class's name at most, and of its line


def write_class_iou(folder: Path, dataset: str, split: str, rows: Mapping[str, Network], path: Path) -> None:
    """Draw the IoU in results/<profile>/<dataset>/<row>.json as PNG and PDF; a sentence where there is none.

    Args:
        folder: results/<profile>.
        rows: of params.yaml by name; of those of the dataset that have a result, the leading four are drawn.
    """
    own = {row: network for row, network in rows.items() if network.dataset == dataset}
    found = {row: result for row in own if (result := results.load(folder, dataset, row))}
    chosen = shown.leading(own, found)
    if not chosen:
        style.write_sentence(f"No row of {describe(dataset).title} is evaluated yet.", path)
        return
    classes = describe(dataset).classes
    methods = [Dots(own[row], of_classes(found[row], split, classes)) for row in chosen]
    about = f"Single-scale. {results.measured_on([found[row] for row in chosen], dataset, split)}."
    with style.drawing():
        figure = draw_class_iou(methods, classes, about, shown.left_out(own, chosen))
        style.write_figure(figure, path)


def of_classes(result: Result, split: str, classes: Sequence[str]) -> np.ndarray:
    """IoU in percent, (seeds, classes); NaN for a class that neither label nor prediction has.

    Raises:
        UserError: a result without IoU by class on this split.
    """
    by_seed = [of_split.get(split, {}).get(METRIC) for of_split in result.seeds.values()]
    if not all(isinstance(found, dict) for found in by_seed):
        raise UserError(f"{result.path}: each seed must hold {METRIC} by class on {split}")
    values = [[found.get(name) for name in classes] for found in by_seed]
    return np.array(values, dtype=np.float64)


def draw_class_iou(methods: Sequence[Dots], classes: Sequence[str], about: str, left_out: str = "") -> Figure:
    """A line a class that any method has an IoU of; of very many, those where the methods' means differ most.

    Args:
        classes: their names, in the order of the methods' values.
        about: what the numbers are of, in words; left_out: which rows are not drawn.
    """
    means = np.array([_mean(method.values) for method in methods])
    there = np.flatnonzero(~np.isnan(means).all(0))
    differ = np.nanmax(means[:, there], 0) - np.nanmin(means[:, there], 0)
    kept = np.sort(there[np.argsort(-differ, kind="stable")[:MOST_CLASSES]])
    selected = (
        ""
        if len(kept) == len(there)
        else f"Of {len(there)} classes those {len(kept)} on which the methods differ most."
    )
    words = " ".join(filter(None, (about, dots.seeds_in_words(methods), selected, left_out)))
    handles = dots.handles(methods, shown.methods([method.network for method in methods]))
    figure = chart(style.ONE_COLUMN, 0.35 + LINE * len(kept), handles, words)
    axes = figure.add_subplot()
    names = [style.cut(first_name(classes[index]), NAME) for index in kept]
    kept_of = [method._replace(values=method.values[:, kept]) for method in methods]
    dots.draw(axes, names, kept_of, max(float(np.nanmax(method.values)) for method in kept_of))
    axes.set_xlabel("IoU (%)")
    return figure


def _mean(values: np.ndarray) -> np.ndarray:
    """Over seeds, NaN where no seed has a number."""
    there = ~np.isnan(values)
    return np.where(there.any(0), np.where(there, values, 0).sum(0) / np.maximum(there.sum(0), 1), np.nan)
