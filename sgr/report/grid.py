"""A table's CSV file as the page shows it: cells with what they are sorted by, the less important columns apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sgr.datasets import describe
from sgr.errors import UserError

from .labels import backbone_title
from .markdown import DASH
from .specification import Measure, Section, Table

if TYPE_CHECKING:
    import pandas as pd


class Cell(NamedTuple):
    """What is read, and the number that it is sorted by; None for a text or a missing number."""

    text: str
    value: float | None = None


class Column(NamedTuple):
    """Heading and kind of a column: `text`, `ours`, `gain`, `paper` or `count`."""

    title: str
    kind: str


class Grid(NamedTuple):
    """Lines under one heading: columns, and for each line the name of its row, empty for a paper's, and its cells."""

    heading: str
    columns: list[Column]
    lines: list[tuple[str, list[Cell]]]


def grids(path: Path, table: Table) -> tuple[list[Grid], list[str]]:
    """A table from its CSV file: datasets in one grid, levels and tasks in one each; and what its marks mean.

    Raises:
        UserError: for a file that is not that table.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path)
        apart = {tuple(section.columns.items()): section for section in table.sections}
        found = [_grid(frame, section) for section in apart.values()]
        reasons = [words for text in frame["marks"].dropna() for words in text.split("; ")]
        return [grid for grid in found if grid.lines], list(dict.fromkeys(reasons))
    except (ValueError, OSError, KeyError) as error:
        raise UserError(f"{path} is not the table {table.title!r} ({error}): run `dvc repro`") from None


def _grid(frame: pd.DataFrame, section: Section) -> Grid:
    for key, value in section.columns.items():
        frame = frame[frame[key] == value]
    texts = {"Method": "method", "Backbone": "backbone_ours"}
    if frame["dataset"].nunique() > 1:
        texts = {"Dataset": "dataset", **texts}
    measured = [
        (measure, kind)
        for measure in section.measures
        for kind in KINDS
        if f"{measure.key}_{kind}" in frame and frame[f"{measure.key}_{kind}"].notna().any()
    ]
    columns = [
        *(Column(title, "text") for title in texts),
        Column("Parameters", "count"),
        Column("n", "count"),
        *(Column(measure.title + KINDS[kind].title, KINDS[kind].kind) for measure, kind in measured),
    ]
    lines = []
    for line in frame.to_dict("records"):
        cells = [
            *(_text(line, key) for key in texts.values()),
            _million(line["parameters"]),
            Cell(DASH)
            if _missing(line["seeds"]) or not line["seeds"]
            else Cell(str(int(line["seeds"])), line["seeds"]),
            *(_number(line, measure, kind) for measure, kind in measured),
        ]
        lines.append(("" if _missing(line["row"]) else str(line["row"]), cells))
    return Grid(section.heading if section.columns else "", columns, lines)


# The columns of a measure: what follows its title, and their kind.
KINDS = {
    "ours": Column("", "ours"),
    "gain_ours": Column(" gain", "gain"),
    "paper": Column(" paper", "paper"),
    "difference": Column(" minus paper", "paper"),
    "gain_paper": Column(" gain paper", "paper"),
}


def _text(line: dict[Any, Any], key: str) -> Cell:
    value = line.get(key)
    if _missing(value):
        return Cell(DASH)
    if key == "dataset":
        return Cell(describe(str(value)).title)
    return Cell(backbone_title(str(value)) if key == "backbone_ours" else str(value))


def _number(line: dict[Any, Any], measure: Measure, kind: str) -> Cell:
    """`21.51 ± 0.20 †`, with every digit to sort by."""
    value, ours = line[f"{measure.key}_{kind}"], kind in ("ours", "gain_ours")
    if _missing(value):
        return Cell(DASH)
    decimals = measure.paper_decimals if "paper" in kind else measure.decimals
    signed = "" if kind in ("ours", "paper") else "+"
    text = f"{round(float(value), decimals) + 0.0:{signed}.{decimals}f}".replace("-", "−")
    spread: Any = line.get(f"{measure.key}_{'gain_' if kind == 'gain_ours' else ''}std") if ours else None
    text += "" if _missing(spread) else f" ± {float(spread):.{decimals}f}"
    mark = line.get(f"{measure.key}_mark") if kind == "ours" else None
    return Cell(text if _missing(mark) else f"{text} {mark}", float(value))


def _million(value: Any) -> Cell:
    return Cell(DASH) if _missing(value) else Cell(f"{float(value) / 1e6:.2f} M", float(value))


def _missing(value: Any) -> bool:
    return value is None or value == "" or value != value  # NaN
