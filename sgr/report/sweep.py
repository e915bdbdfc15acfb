"""mIoU against the number of concepts K and of active concepts L, from DVC's experiments."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import names, style
from .experiments import Point, points, show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NONE_FOUND = "no sweep found: run `dvc exp run --queue -S sgr.K=16,32,64` and `dvc queue start` first"
Grid = Mapping[tuple[int, int], float]  # (K, L) -> mIoU


def write_sweeps(results: Path = Path("results")) -> list[Path]:
    """Draw results/<profile>/figures/sweep_<dataset>.png where there is a sweep; returns the paths."""
    written = []
    for (profile, dataset), rows in sorted(sweeps(points(show())).items()):
        path = results / profile / "figures" / f"sweep_{dataset}.png"
        with style.drawing():
            style.write_figure(draw_sweep(rows), path)
        written.append(path)
    return written


def sweeps(found: Sequence[Point]) -> dict[tuple[str, str], dict[str, Grid]]:
    """(profile, dataset) -> row -> mIoU by (K, L), for the rows with at least two settings of K and L.

    Of experiments that differ in other parameters too, the largest group that shares them is taken.
    """
    groups: dict[tuple[str, str, str], dict[str, dict[tuple[int, int], list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for point in found:
        groups[point.profile, point.dataset, point.row][point.setting][point.K, point.L].append(point.miou)
    swept: dict[tuple[str, str], dict[str, Grid]] = defaultdict(dict)
    for (profile, dataset, row), settings in groups.items():
        largest = max(settings.values(), key=len)
        if len(largest) > 1:
            swept[profile, dataset][row] = {
                where: statistics.mean(values) for where, values in sorted(largest.items())
            }
    return {
        key: dict(sorted(rows.items(), key=lambda item: names.order(item[0]))) for key, rows in swept.items()
    }


def draw_sweep(rows: Mapping[str, Grid]) -> Figure:
    """Lines over K, or over L where only L varies; a heat map a row where both vary."""
    from matplotlib.figure import Figure

    flat = {row: grid for row, grid in rows.items() if not _both(grid)}
    square = {row: grid for row, grid in rows.items() if _both(grid)}
    by_axis: dict[str, dict[str, Grid]] = {}
    for row, grid in flat.items():
        by_axis.setdefault("K" if len({K for K, _ in grid}) > 1 else "L", {})[row] = grid
    panels = len(by_axis) + len(square)
    figure = Figure(figsize=(4.6 * panels, 3.6), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for place, (axis, group) in zip(axes, sorted(by_axis.items()), strict=False):
        _lines(place, axis, group)
    for place, (row, grid) in zip(axes[len(by_axis) :], square.items(), strict=True):
        _heat_map(place, row, grid)
    return figure


def _both(grid: Grid) -> bool:
    return len({K for K, _ in grid}) > 1 and len({L for _, L in grid}) > 1


def _lines(axes: Axes, axis: str, rows: Mapping[str, Grid]) -> None:
    which = 0 if axis == "K" else 1
    ticks = sorted({where[which] for grid in rows.values() for where in grid})
    for number, (row, grid) in enumerate(rows.items()):
        look: dict[str, Any] = style.row_style(number)
        other = {where[1 - which] for where in grid}.pop()
        label = f"{names.method(row)} ({'L' if which == 0 else 'K'} = {other})"
        x = [ticks.index(where[which]) for where in grid]
        axes.plot(x, list(grid.values()), marker="o", markersize=4, label=label, **look)
    # Evenly spaced settings: 60 and 64 would print over each other on a scale.
    axes.set_xticks(range(len(ticks)), [str(tick) for tick in ticks])
    axes.set_xlabel(f"{axis}, {'concepts' if axis == 'K' else 'concepts active in an image'}")
    axes.set_ylabel("mIoU s.s. (%)")
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.18))


def _heat_map(axes: Axes, row: str, grid: Grid) -> None:
    import numpy as np

    Ks, Ls = sorted({K for K, _ in grid}), sorted({L for _, L in grid})
    values = np.array([[grid.get((K, L), np.nan) for K in Ks] for L in Ls])
    picture = axes.imshow(values, origin="lower", cmap="viridis", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for i, j in np.ndindex(values.shape):
        if np.isfinite(values[i, j]):
            shade = "white" if values[i, j] < middle else "black"
            axes.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", color=shade, fontsize=7)
    axes.set_xticks(range(len(Ks)), [str(K) for K in Ks])
    axes.set_yticks(range(len(Ls)), [str(L) for L in Ls])
    axes.set_xlabel("K, concepts")
    axes.set_ylabel("L, concepts active in an image")
    axes.set_title(names.method(row))
    if axes.figure is not None:
        axes.figure.colorbar(picture, ax=axes, label="mIoU s.s. (%)")
