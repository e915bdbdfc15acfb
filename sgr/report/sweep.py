"""Sensitivity to K and L: mIoU of one row for each pair of them, as CSV, Markdown and heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.datasets import describe
from sgr.files import write_bytes

from . import style
from .about import About
from .labels import Network
from .markdown import DASH, number
from .marks import FAILS
from .notice import notice
from .statistics import over_seeds, spread

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

TITLE = "Sensitivity to K and L"
READING = (
    "K: concepts, L: how many of them are active in an image, so L > K stays blank. mIoU in percent, ↑ higher is "
    "better; multi-scale with horizontal flip. Bold: the best pair. The paper has this study in its supplementary "
    "material."
)
MEASURES = {"miou_ss": "single-scale", "miou_ms": "multi-scale"}

Metrics = Mapping[str, Any]


def write_sweep(
    profile: str,
    row: str,
    network: Network,
    split: str,
    K: Sequence[int],
    L: Sequence[int],
    measured: Mapping[tuple[int, int], Sequence[Metrics]],
    about: About,
    results: Path = Path("results"),
) -> None:
    """Write results/<profile>/sweep.csv, sweep.md and figures/sweep.png and .pdf.

    Args:
        row, network, split: what was trained with each pair, and where it is measured.
        K, L: the values of the grid, in the order of table and picture.
        measured: (K, L) -> metrics by seed, each with `miou_ss`, `collapsed_ss` and the same of `ms`; a pair that is
            missing stays blank.
        about: what all pairs are of.
    """
    folder = results / profile
    frame = grid(row, split, K, L, measured)
    write_bytes(folder / "sweep.csv", frame.to_csv(index=False, lineterminator="\n").encode())
    write_bytes(folder / "sweep.md", f"{notice([about])}\n\n{markdown(frame, network)}".encode())
    with style.drawing():
        style.write_figure(draw_sweep(frame, network), folder / "figures" / "sweep.png")


def grid(
    row: str,
    split: str,
    K: Sequence[int],
    L: Sequence[int],
    measured: Mapping[tuple[int, int], Sequence[Metrics]],
) -> pd.DataFrame:
    """A line a pair, blank ones too: row, split, K, L, seeds, and mean, deviation and mark of each of MEASURES."""
    import pandas as pd

    lines = []
    for pair in ((k, of_k) for k in K for of_k in L):
        seeds = measured.get(pair, ())
        line = {"row": row, "split": split, "K": pair[0], "L": pair[1], "seeds": len(seeds)}
        for measure in MEASURES:
            found = spread([float(metrics[measure]) for metrics in seeds])
            line |= {measure: found and found.mean, f"{measure}_std": found and found.std}
            failed = any(metrics[measure.replace("miou", "collapsed")] for metrics in seeds)
            line[f"{measure}_mark"] = FAILS if failed else ""
        lines.append(line)
    numbers = [name for measure in MEASURES for name in (measure, f"{measure}_std")]
    return pd.DataFrame(lines).astype(dict.fromkeys(numbers, "float64"))


def markdown(frame: pd.DataFrame, network: Network) -> str:
    """A table a measure, K down and L across."""
    of_seeds = f"Each number is {over_seeds(frame['seeds'].max())}."
    parts = [f"# {TITLE}\n\n{_subject(frame, network)}. {READING} {of_seeds}\n"]
    for measure, title in MEASURES.items():
        cell = number(measure, 2, f"{measure}_std", mark=f"{measure}_mark", best=_best(frame, measure))
        cells = frame.apply(lambda line, cell=cell: cell(line.to_dict()), axis=1)
        table = frame.assign(cell=cells).pivot(index="K", columns="L", values="cell")
        table = table.loc[frame["K"].unique(), frame["L"].unique()].replace(DASH, "")
        table.index = [f"K = {k}" for k in table.index]
        table.columns = [f"L = {of_k}" for of_k in table.columns]
        parts.append(f"## mIoU {title} ↑\n\n{table.to_markdown(disable_numparse=True)}\n")
    if any((frame[f"{measure}_mark"] == FAILS).any() for measure in MEASURES):
        parts.append(f"{FAILS} predicts one class for everything.\n")
    return "\n".join(parts)


def _best(frame: pd.DataFrame, measure: str) -> float | None:
    """The largest number of the pairs that have not failed; None of fewer than two."""
    sound = frame.loc[frame[f"{measure}_mark"] != FAILS, measure].dropna()
    return float(sound.max()) if len(sound) > 1 else None


def draw_sweep(frame: pd.DataFrame, network: Network) -> Figure:
    """A heat map a measure, in the table's orientation and on one scale; L > K is hatched."""
    import numpy as np
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    figure = Figure((style.TWO_COLUMNS, 0.9 + 0.4 * frame["K"].nunique()), layout="constrained")
    figure.suptitle(_subject(frame, network))
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    # one scale: the same colour is the same mIoU in both
    every = frame[list(MEASURES)].to_numpy()
    scale = Normalize(np.nanmin(every), np.nanmax(every))
    for axes, (measure, title) in zip(panels, MEASURES.items(), strict=True):
        picture = _heat_map(axes, frame, measure, scale)
        axes.set_title(title, loc="left")
        axes.set_xlabel("L (active concepts in an image)")
    panels[0].set_ylabel("K (concepts)")
    figure.colorbar(picture, ax=panels, label="mIoU (%)", aspect=15).outline.set_visible(False)
    return figure


def _heat_map(axes: Axes, frame: pd.DataFrame, measure: str, scale: Normalize) -> AxesImage:
    import numpy as np
    from matplotlib.patches import Rectangle

    K, L = frame["K"].unique(), frame["L"].unique()
    values = frame[measure].to_numpy().reshape(len(K), len(L))
    deviations = frame[f"{measure}_std"].to_numpy().reshape(len(K), len(L))
    picture = axes.imshow(values, cmap="viridis", norm=scale, aspect="auto")
    for i, j in np.ndindex(values.shape):
        if np.isnan(values[i, j]):
            blank = Rectangle(
                (j - 0.5, i - 0.5), 1, 1, facecolor="#f2f2f2", edgecolor="#bbbbbb", hatch="////", lw=0
            )
            axes.add_patch(blank)
            continue
        words = f"{values[i, j]:.2f}" + ("" if np.isnan(deviations[i, j]) else f"\n± {deviations[i, j]:.2f}")
        shade = "white" if scale(values[i, j]) <= 0.5 else "black"
        axes.text(j, i, words, ha="center", va="center", color=shade)
    axes.set_xticks(range(len(L)), [str(of_k) for of_k in L])
    axes.set_yticks(range(len(K)), [str(k) for k in K])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return picture


def _subject(frame: pd.DataFrame, network: Network) -> str:
    return f"{network.method} on {describe(network.dataset).title}, {frame['split'].iloc[0]}"
