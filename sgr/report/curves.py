"""Training curves: for each framework the total loss of its rows, and each of its named terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sgr.datasets import describe
from sgr.errors import UserError

from . import style
from .labels import UNITS, Network, backbone_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

KNOWN = ("seed", "iteration", "learning_rate", "loss")
# Inches: the picture, a head's panels, a line of its legend.
WIDTH, SECTION, LINE = 12.0, 2.8, 0.16
TOTAL = 2.0  # width of the total loss beside a term's 1

Curve: TypeAlias = "tuple[Network, pd.DataFrame]"


def write_curves(folder: Path, dataset: str, rows: Mapping[str, Network], path: Path) -> None:
    """Draw results/<profile>/curves/<dataset>/<row>.csv as one PNG; a sentence when none has an iteration.

    Args:
        rows: of params.yaml by name; those of the dataset are drawn.
    """
    files = {row: folder / f"{row}.csv" for row in rows if rows[row].dataset == dataset}
    found = sorted((row for row in files if files[row].exists()), key=lambda row: rows[row].order)
    frames = {row: read_curve(files[row]) for row in found}
    curves = [(rows[row], frame) for row, frame in frames.items() if np.isfinite(frame["loss"]).any()]
    if not curves:
        style.write_sentence(f"No row of {describe(dataset).title} has a training curve yet.", path)
        return
    with style.drawing():
        style.write_figure(draw_curves(curves), path)


def read_curve(path: Path) -> pd.DataFrame:
    """One row's KNOWN columns and its named terms. Raises UserError for a file that is no curve."""
    import pandas as pd

    try:
        frame = pd.read_csv(path)
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(f"{path} is not a training curve: {error}") from None
    missing = [name for name in KNOWN if name not in frame.columns]
    texts = [name for name in frame.columns if len(frame) and not pd.api.types.is_numeric_dtype(frame[name])]
    if missing or texts:
        raise UserError(
            f"{path} is not a training curve: it must hold numbers in the columns {', '.join(KNOWN)}"
        )
    return frame if len(frame) else frame.astype(np.float64)


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Centred mean over `window` values, fewer at the ends: (N,) to (N,)."""
    half = window // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def draw_curves(curves: Sequence[Curve]) -> Figure:
    """A section a framework and backbone, since their terms and scales differ.

    Thin lines are seeds, thick ones their mean.
    """
    from matplotlib.figure import Figure

    groups: dict[tuple[str, str], list[Curve]] = {}
    for network, frame in curves:
        groups.setdefault((network.framework, network.backbone), []).append((network, frame))
    legends = [_legend(group) for group in groups.values()]
    heights = [SECTION + LINE * -(-len(handles) // columns) for handles, columns in legends]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    sections = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    frameworks = [framework for framework, _ in groups]
    for section, (about, group), (handles, columns) in zip(sections, groups.items(), legends, strict=True):
        framework, backbone = about
        unique = frameworks.count(framework) == 1
        title = framework if unique else f"{framework}, {backbone_title(backbone)}"
        section.suptitle(title, x=0.008, ha="left", fontsize=10, fontweight="bold")
        section.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=7, handlelength=3)
        _section(section, group)
    return figure


def _section(section: SubFigure, curves: Sequence[Curve]) -> None:
    """Total loss on the left, a small panel a named term on its right, in two lines where there are many."""
    terms = list(
        dict.fromkeys(c for _, f in curves for c in f.columns if c not in KNOWN and np.isfinite(f[c]).any())
    )
    lines = 1 if len(terms) <= 2 else 2
    across = -(-len(terms) // lines)
    grid = section.add_gridspec(lines, 1 + across, width_ratios=[TOTAL, *[1.0] * across])
    _panel(section.add_subplot(grid[:, 0]), "loss", "total loss", curves)
    for number, term in enumerate(terms):
        place = grid[number // across, 1 + number % across]
        _panel(section.add_subplot(place), term, term.replace("_", " "), curves)
    for axes in section.axes:
        spec = axes.get_subplotspec()
        if spec is not None and spec.is_last_row():
            axes.set_xlabel("iteration")


def _legend(curves: Sequence[Curve]) -> tuple[list[Any], int]:
    """A handle a row, and how many fit beside each other."""
    from matplotlib.lines import Line2D

    looks = _looks([network for network, _ in curves])
    handles = [
        Line2D([], [], label=_label(*curve), **look) for curve, look in zip(curves, looks, strict=True)
    ]
    widest = 0.7 + 0.062 * max(len(str(handle.get_label())) for handle in handles)
    return handles, max(1, min(len(handles), int(WIDTH / widest)))


def _looks(networks: Sequence[Network]) -> list[dict[str, Any]]:
    """Colour and line style of each: a unit has the same under every framework, other rows those that are left."""
    units = list(UNITS)
    looks, others = [], 0
    for network in networks:
        if network.changes or network.training or (network.prototypes and network.unit != "none"):
            place, others = len(units) + 1 + others, others + 1
        else:
            place = len(units) if network.prototypes else units.index(network.unit)
        looks.append(style.row_style(place))
    return looks


def _panel(axes: Axes, column: str, title: str, curves: Sequence[Curve]) -> None:
    """Draw one column of every row that has it."""
    from matplotlib.ticker import MaxNLocator

    bounds, looks = [], _looks([network for network, _ in curves])
    for (_, frame), look in zip(curves, looks, strict=True):
        if column not in frame:
            continue
        seeds = [part for _, part in frame[np.isfinite(frame[column])].groupby("seed")]
        smoothed = []
        for part in seeds:
            part = part.sort_values("iteration")
            x, y = part["iteration"].to_numpy(), part[column].to_numpy(dtype=np.float64)
            axes.plot(x, y, color=look["color"], alpha=0.18, linewidth=0.5, zorder=1)
            line = smooth(y, max(1, len(y) // 20))
            axes.plot(
                x,
                line,
                linewidth=0.7 if len(seeds) > 1 else 1.4,
                alpha=0.6 if len(seeds) > 1 else 1.0,
                **look,
            )
            if len(x) == 1:
                axes.plot(x, y, "o", color=look["color"], markersize=3)
            smoothed.append((x, line))
            bounds.append((line.min(), line.max(), x[0], x[-1]))
        if len(smoothed) > 1:
            axes.plot(*_mean(smoothed), linewidth=1.6, **look)
    axes.set_title(title, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    axes.grid(alpha=0.25, linewidth=0.5)
    lows, highs, starts, ends = zip(*bounds, strict=True) if bounds else ((0.0,), (1.0,), (0,), (1,))
    low, high, low_x, high_x = min(lows), max(highs), min(starts), max(ends)
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    if low_x == high_x:
        axes.set_xticks([low_x])
    # Set by the smoothed lines: single batches may leave the panel, the curves never do.
    axes.set_ylim(low - margin, high + margin)


def _mean(lines: list[tuple[NDArray[Any], NDArray[np.float64]]]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Mean of the seeds' lines where all of them have a value."""
    common = lines[0][0]
    for x, _ in lines[1:]:
        common = np.intersect1d(common, x)
    return common, np.mean([y[np.isin(x, common)] for x, y in lines], axis=0)


def _label(network: Network, frame: pd.DataFrame) -> str:
    seeds = frame["seed"].nunique()
    return (network.addition or network.method) + (f" ({seeds} seeds)" if seeds > 1 else "")
