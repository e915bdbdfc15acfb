"""Connected components against instances, for a dataset that has both: a table, its CSV file and a figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sgr.datasets import describe
from sgr.evaluation.component_statistics import Statistics
from sgr.files import write_bytes

from . import style
from .about import Count
from .captions import percent
from .images import Images, of_images
from .markdown import DASH, Column, number, render, text

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.figure import Figure

COVERED = ("no_instance", "one", "two", "three_or_more")  # as counted
SHOWN = ("one", "two", "three_or_more", "no_instance")  # as read
OUTCOMES = ("alone", "shared", "split", "none_left")
TITLES = {"one": "one instance", "two": "two", "three_or_more": "three or more", "no_instance": "none"}
# Blue for what SGR assumes, oranges for what it does not, grey where the annotation cannot tell.
COLOURS = {"one": "#0072B2", "two": "#F0A860", "three_or_more": "#C04E00", "no_instance": "#C8C8C8"}
BAR, MARGIN = 0.16, 0.62  # inches
READING = (
    "How often a connected component, SGR's weak supervision, is one instance: {images} whole images of the split "
    "{split}, each class opened by a square of {opening} pixels, components below {min_share} of the image's largest "
    "dropped (footnote 2).\n\n"
    "Components: the share that covers one instance, two, three or more, or none (a group that the annotators did not "
    "part); an instance counts if it holds at least {of_component} of the component's pixels. Purity is the largest "
    "instance's share of a component's pixels, as a mean over components and over their pixels.\n\n"
    "Instances: the share that is a component alone, that shares its component with another instance, that is split "
    "into several, or that no component is left of, since the opening or the area rule dropped it; a component counts "
    "if it holds at least {of_instance} of the instance's pixels."
)
PER_IMAGE = (
    "Components of an image, and the share of images with at most L = {L} of them: of more, the loss keeps the L "
    "largest. Training sees crops of these images."
)


def write(
    statistics: Statistics,
    *,
    profile: str,
    generated: bool,
    dataset: str,
    split: str,
    official: int,
    classes: tuple[str, ...],
    things: npt.NDArray[np.bool_],
    L: int,
    opening: int,
    min_share: float,
    results: Path = Path("results"),
) -> None:
    """Write component_statistics_<dataset>.md, .csv and figures/components_<dataset>.png, .pdf to results/<profile>.

    Args:
        generated: whether the images are; official: how many the split has as published.
        classes, things: names of the dataset's classes, and which have instances.
        L: concepts active in an image.
        opening, min_share: of the components (footnote 2).
    """
    frame = build(statistics, classes, things, L)
    reading = READING.format(
        opening=opening,
        min_share=_whole_percent(min_share),
        split=split,
        images=len(statistics.per_image),
        of_component=_whole_percent(statistics.min_of_component),
        of_instance=_whole_percent(statistics.min_of_instance),
    )
    of_things = frame[(frame["kind"] == "thing") & ((frame["components"] > 0) | (frame["instances"] > 0))]
    totals = frame[frame["kind"] == "total"]
    here = Images(dataset, split, Count(len(statistics.per_image), official))
    parts = [
        f"{of_images(['generated' if generated else 'folder'], [here])}.",
        f"# Connected components and instances of {describe(dataset).title}",
        reading,
        *(render(_concat(of_things, totals[totals["class"] == "all things"]), of) for of in _of_things()),
        PER_IMAGE.format(L=L),
        render(totals, _of_images()),
    ]
    folder, name = results / profile, f"component_statistics_{dataset}"
    write_bytes(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n").encode())
    write_bytes(folder / f"{name}.md", ("\n\n".join(parts) + "\n").encode())
    figure = folder / "figures" / f"components_{dataset}.png"
    shown = of_things[of_things["components"] > 0]
    if shown.empty:
        style.write_sentence("No component of a thing to compare with instances.", figure)
        return
    with style.drawing():
        style.write_figure(draw(_concat(shown, totals[totals["class"] == "all things"])), figure)


def build(
    statistics: Statistics, classes: tuple[str, ...], things: npt.NDArray[np.bool_], L: int
) -> pd.DataFrame:
    """One line a class, then all things, all stuff and all classes; shares are of 1, empty where they have no whole."""
    import pandas as pd

    lines = [
        _line(statistics, np.arange(len(classes)) == i, name, "thing" if things[i] else "stuff", L)
        for i, name in enumerate(classes)
    ]
    groups = {"all things": things, "all stuff": ~things, "all": np.ones(len(classes), dtype=bool)}
    lines += [_line(statistics, chosen, name, "total", L) for name, chosen in groups.items()]
    # What compares with instances says nothing of stuff, nor of things and stuff together.
    frame = pd.DataFrame(lines)
    without = (frame["kind"] == "stuff") | frame["class"].isin(["all stuff", "all"])
    frame.loc[without, [*COVERED, "purity", "purity_by_area", *OUTCOMES]] = None
    return frame


def draw(frame: pd.DataFrame) -> Figure:
    """A bar a line of `build`: the shares of its components by the number of instances they cover."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MultipleLocator, PercentFormatter

    figure = Figure((style.ONE_COLUMN, MARGIN + BAR * len(frame)), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(frame))
    left = np.zeros(len(frame))
    handles = []
    for name in SHOWN:
        shares = frame[name].to_numpy(dtype=float)
        if shares.any():
            handles.append(axes.barh(places, shares, 0.72, left, color=COLOURS[name], label=TITLES[name]))
        left += shares
    for place, share in enumerate(frame["one"]):
        # inside the bar, or beside it where it is too short; on a pale ground, so that no bar hides it
        inside = share >= 0.16
        axes.text(
            share - 0.01 if inside else share + 0.015,
            place,
            percent(share),
            ha="right" if inside else "left",
            va="center",
            color="white" if inside else "black",
            bbox=None if inside else {"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.6},
        )
    labels = [f"{name} ({count:,})" for name, count in zip(frame["class"], frame["components"], strict=True)]
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_locator(MultipleLocator(0.25))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("components by the instances they cover")
    axes.tick_params(axis="y", length=0)
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=len(handles),
        handlelength=1,
        columnspacing=1,
        borderpad=0,
        borderaxespad=0.2,
    )
    return figure


def _line(
    statistics: Statistics, chosen: npt.NDArray[np.bool_], name: str, kind: str, L: int
) -> dict[str, Any]:
    counts, per_image = statistics.counts, statistics.per_image[:, chosen].sum(1)
    components, instances = counts.components[chosen].sum(0), counts.instances[chosen].sum(0)
    total, area = int(components.sum()), int(counts.area[chosen].sum())
    return {
        "class": name,
        "kind": kind,
        "components": total,
        **_shares(COVERED, components),
        "purity": float(counts.purity[chosen].sum()) / total if total else None,
        "purity_by_area": int(counts.largest[chosen].sum()) / area if area else None,
        "instances": int(instances.sum()),
        **_shares(OUTCOMES, instances),
        "mean_per_image": float(per_image.mean()),
        "median_per_image": float(np.median(per_image)),
        "max_per_image": int(per_image.max()),
        "images_within_L": float((per_image <= L).mean()),
    }


def _shares(kinds: tuple[str, ...], numbers: npt.NDArray[np.int64]) -> dict[str, float | None]:
    total = int(numbers.sum())
    return {kind: int(count) / total if total else None for kind, count in zip(kinds, numbers, strict=True)}


def _of_things() -> tuple[list[Column], list[Column]]:
    """Of components, and of instances: one table of both would be wider than a page."""
    covered = [(TITLES[name], _percent(name)) for name in SHOWN]
    outcomes = [(name.replace("_", " "), _percent(name)) for name in OUTCOMES]
    purity = [("purity", number("purity", 3)), ("purity by area", number("purity_by_area", 3))]
    name = ("class", text("class"))
    return (
        [name, ("components", text("components")), *covered, *purity],
        [name, ("instances", text("instances")), *outcomes],
    )


def _of_images() -> list[Column]:
    return [
        ("components of", text("class")),
        ("mean", number("mean_per_image", 1)),
        ("median", number("median_per_image", 1)),
        ("max", text("max_per_image")),
        ("images within L", _percent("images_within_L")),
    ]


def _percent(key: str) -> Callable[[dict[str, Any]], str]:
    shown = number(key, 4)

    def cell(row: dict[str, Any]) -> str:
        if shown(row) == DASH:
            return DASH
        share = float(row[key])
        return "<0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"

    return cell


def _whole_percent(share: float) -> str:
    return f"{100 * share:g} %"


def _concat(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([first, second], ignore_index=True)
