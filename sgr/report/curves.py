"""Training curves: for each head the total loss of its rows, and each of its named terms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgr.errors import UserError

from . import names, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

KNOWN = ("seed", "iteration", "learning_rate", "loss")
# Inches: the picture, a head's panels, a line of its legend.
WIDTH, SECTION, LINE = 12.0, 2.8, 0.16
TOTAL = 2.0  # width of the total loss beside a term's 1


def write_curves(folder: Path, dataset: str, path: Path) -> None:
    """Draw results/<profile>/curves/<dataset>-*.csv as one PNG; a sentence when none has an iteration."""
    files = sorted(folder.glob(f"{dataset}-*.csv"), key=lambda file: names.order(file.stem))
    frames = {file.stem: read_curve(file) for file in files}
    frames = {row: frame for row, frame in frames.items() if np.isfinite(frame["loss"]).any()}
    if not frames:
        style.write_sentence(
            f"No row of {names.DATASETS.get(dataset, dataset)} has a training curve yet.", path
        )
        return
    with style.drawing():
        style.write_figure(draw_curves(frames), path)


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


def draw_curves(frames: Mapping[str, pd.DataFrame]) -> Figure:
    """A section a head, since heads have other terms and scales; thin lines are seeds, thick ones their mean."""
    from matplotlib.figure import Figure

    heads: dict[str, dict[str, pd.DataFrame]] = {}
    for row, frame in frames.items():
        heads.setdefault(names.parts(row).head, {})[row] = frame
    legends = [_legend(rows) for rows in heads.values()]
    heights = [SECTION + LINE * -(-len(handles) // columns) for handles, columns in legends]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    sections = figure.subfigures(len(heads), 1, squeeze=False, height_ratios=heights)[:, 0]
    for section, (head, rows), (handles, columns) in zip(sections, heads.items(), legends, strict=True):
        section.suptitle(names.HEADS.get(head, head), x=0.008, ha="left", fontsize=10, fontweight="bold")
        section.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=7, handlelength=3)
        _section(section, rows)
    return figure


def _section(section: SubFigure, rows: Mapping[str, pd.DataFrame]) -> None:
    """Total loss on the left, a small panel a named term on its right, in two lines where there are many."""
    terms = list(
        dict.fromkeys(
            c for f in rows.values() for c in f.columns if c not in KNOWN and np.isfinite(f[c]).any()
        )
    )
    lines = 1 if len(terms) <= 2 else 2
    across = -(-len(terms) // lines)
    grid = section.add_gridspec(lines, 1 + across, width_ratios=[TOTAL, *[1.0] * across])
    _panel(section.add_subplot(grid[:, 0]), "loss", "total loss", rows)
    for number, term in enumerate(terms):
        place = grid[number // across, 1 + number % across]
        _panel(section.add_subplot(place), term, term.replace("_", " "), rows)
    for axes in section.axes:
        spec = axes.get_subplotspec()
        if spec is not None and spec.is_last_row():
            axes.set_xlabel("iteration")


def _legend(rows: Mapping[str, pd.DataFrame]) -> tuple[list[Any], int]:
    """A handle a row, and how many fit beside each other."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=_label(row, rows[row]), **look) for row, look in _looks(rows).items()]
    widest = 0.7 + 0.062 * max(len(str(handle.get_label())) for handle in handles)
    return handles, max(1, min(len(handles), int(WIDTH / widest)))


def _looks(rows: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, Any]]:
    """Colour and line style by row: a unit has the same under every head, ablations those that are left."""
    components = ["", *names.UNITS]
    ablations = [row for row in rows if names.parts(row).ablation]
    return {
        row: style.row_style(
            len(components) + ablations.index(row)
            if row in ablations
            else components.index(names.parts(row).unit)
        )
        for row in rows
    }


def _panel(axes: Axes, column: str, title: str, rows: Mapping[str, pd.DataFrame]) -> None:
    """Draw one column of every row that has it."""
    from matplotlib.ticker import MaxNLocator

    bounds, looks = [], _looks(rows)
    for row, frame in rows.items():
        look = looks[row]
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


def _label(row: str, frame: pd.DataFrame) -> str:
    seeds = frame["seed"].nunique()
    return (names.unit(row) or names.method(row)) + (f" ({seeds} seeds)" if seeds > 1 else "")
