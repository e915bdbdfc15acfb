"""Training curves: each named term of the loss, of rows whose losses are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sgr.datasets import describe
from sgr.errors import UserError

from . import shown, style
from .chart import chart
from .labels import Network
from .looks import looks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KNOWN = ("seed", "iteration", "learning_rate", "loss")
HEIGHT, ACROSS = 1.75, 5  # inches of a panel, and how many stand beside each other
KEY = "Losses by iteration, unweighted, as centred means over a twentieth of the curve; thin: single seeds and batches."

Curve: TypeAlias = "tuple[Network, pd.DataFrame]"


def write_curves(folder: Path, dataset: str, rows: Mapping[str, Network], path: Path) -> None:
    """Draw results/<profile>/curves/<dataset>/<row>.csv as PNG and PDF; a sentence when none has an iteration.

    Args:
        rows: of params.yaml by name; of the dataset's, the first network with SGR is drawn, plain, with it and
            ablated: losses of other heads are no losses to lay these over.
    """
    own = {row: network for row, network in rows.items() if network.dataset == dataset}
    frames = {row: read_curve(folder / f"{row}.csv") for row in own if (folder / f"{row}.csv").exists()}
    chosen = shown.of_leader(own, [row for row, frame in frames.items() if np.isfinite(frame["loss"]).any()])
    if not chosen:
        style.write_sentence(f"No row of {describe(dataset).title} has a training curve yet.", path)
        return
    with style.drawing():
        curves = [(own[row], frames[row]) for row in chosen]
        style.write_figure(draw_curves(curves, shown.left_out(own, chosen)), path)


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


def draw_curves(curves: Sequence[Curve], left_out: str = "") -> Figure:
    """A panel a named term, since terms have scales of their own, and a line a row that has it.

    Thin lines are seeds, thick ones their mean.

    Args:
        curves: of rows whose losses are the same, but for the terms that a unit adds.
        left_out: the words that name the rows that are not drawn.
    """
    terms = terms_of(curves)
    found = _looks(curves)
    handles = [_handle(network, frame, look) for (network, frame), look in zip(curves, found, strict=True)]
    lines = -(-len(terms) // ACROSS)
    across = -(-len(terms) // lines)
    height = HEIGHT * lines + (0.1 if lines > 1 else 0)
    figure = chart(style.TWO_COLUMNS, height, handles, " ".join(filter(None, (KEY, left_out))))
    # what all rows have comes first, and is wider where it stands beside what one has
    ratios = [1.5 if lines == 1 and len(curves) > 1 and not column else 1.0 for column in range(across)]
    grid = figure.add_gridspec(lines, across, width_ratios=ratios)
    for number, term in enumerate(terms):
        axes = figure.add_subplot(grid[divmod(number, across)])
        _panel(axes, term, term.replace("_", " "), curves, found)
        axes.set_xlabel("iteration")
    return figure


def terms_of(curves: Sequence[Curve]) -> list[str]:
    """The named terms that any of the curves has; of curves without any, their loss."""
    named = (
        c for _, frame in curves for c in frame.columns if c not in KNOWN and np.isfinite(frame[c]).any()
    )
    return list(dict.fromkeys(named)) or ["loss"]


def _handle(network: Network, frame: pd.DataFrame, look: dict[str, Any]) -> Any:
    """The legend's entry of a row."""
    from matplotlib.lines import Line2D

    seeds = frame["seed"].nunique()
    return Line2D([], [], label=network.method + (f" ({seeds} seeds)" if seeds > 1 else ""), **look)


def _looks(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Colour and line style of each; lines have no markers."""
    return [{**look, "marker": ""} for look in looks([network for network, _ in curves])]


def _panel(
    axes: Axes, column: str, title: str, curves: Sequence[Curve], found: Sequence[dict[str, Any]]
) -> None:
    """Draw one column of every row that has it."""
    from matplotlib.ticker import MaxNLocator

    bounds = []
    for (_, frame), look in zip(curves, found, strict=True):
        if column not in frame:
            continue
        seeds = [part for _, part in frame[np.isfinite(frame[column])].groupby("seed")]
        smoothed = []
        for part in seeds:
            part = part.sort_values("iteration")
            x, y = part["iteration"].to_numpy(), part[column].to_numpy(dtype=np.float64)
            axes.plot(x, y, color=look["color"], alpha=0.18, linewidth=0.4, zorder=1)
            line = smooth(y, max(1, len(y) // 20))
            axes.plot(
                x,
                line,
                linewidth=0.5 if len(seeds) > 1 else 1.0,
                alpha=0.6 if len(seeds) > 1 else 1.0,
                **look,
            )
            if len(x) == 1:
                axes.plot(x, y, "o", color=look["color"], markersize=3)
            smoothed.append((x, line))
            bounds.append((line.min(), line.max(), x[0], x[-1]))
        if len(smoothed) > 1:
            axes.plot(*_mean(smoothed), linewidth=1.1, **look)
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
