"""A table from its specification and the result files: its numbers, its Markdown and its summary."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sgr.datasets import describe
from sgr.errors import UserError

from . import marks
from .labels import backbone_title
from .lines import Line, Rows, lines_of
from .markdown import DASH, Column, count, gained, measured, number, render, text
from .notice import notice
from .specification import Measure, Section, Table
from .statistics import gain, spread

if TYPE_CHECKING:
    import pandas as pd

Values = Mapping[str, float]
Cells = dict[str, Any]
Parts = Sequence[tuple[Section, Sequence[Line]]]
OURS = "not in the paper's table"
MISSING = "not yet trained by this project"


class Built(NamedTuple):
    """A table.

    Attributes:
        frame: a line a row, with every digit.
        markdown: for people; its first line says what the numbers are of.
        summary: dataset -> name -> mean over the summarised rows that have the number, to 4 decimals.
    """

    frame: pd.DataFrame
    markdown: str
    summary: dict[str, dict[str, float]]


def build(table: Table, folder: Path, rows: Rows) -> Built:
    """The table of the results in results/<profile>: the paper's lines and, among them, ours.

    Args:
        folder: results/<profile>.
        rows: of params.yaml by name.

    Raises:
        UserError: a malformed result, or no line.
    """
    import pandas as pd

    parts = [(section, lines_of(table, section, folder, rows)) for section in table.sections]
    if not all(lines for _, lines in parts):
        raise UserError(f"{table.title}: no row of params/rows.yaml stands in this table")
    frames = [pd.DataFrame([_cells(table, section, line) for line in lines]) for section, lines in parts]
    for frame in frames:
        frame["parameters"] = frame["parameters"].astype("Int64")
    abouts = [about for _, lines in parts for line in lines for about in line.about.values()]
    texts = [f"{notice(abouts)}\n\n# {table.title}\n\n{table.reading}\n"]
    for (section, lines), frame in zip(parts, frames, strict=True):
        heading = f"## {section.heading}\n\n" if section.heading else ""
        more = f"{section.text}\n\n" if section.text else ""
        texts.append(f"{heading}{more}{render(frame, _columns(table, section, frame))}\n")
        texts += _below(table, section, lines)
    return Built(pd.concat(frames, ignore_index=True), "\n".join(texts), _summary(table, parts))


def compare(key: str, paper: float | None, ours: Values | None, comparable: bool = True) -> Cells:
    """`<key>_paper`, `_ours`, `_std`, `_difference`.

    Args:
        paper: the paper's number; None where it has none.
        ours: value by seed; None where the row has not been trained.
        comparable: whether both are of the same images and schedule; else there is no difference.
    """
    found = spread((ours or {}).values())
    return {
        f"{key}_paper": paper,
        f"{key}_ours": found.mean if found else None,
        f"{key}_std": found.std if found else None,
        f"{key}_difference": found.mean - paper if comparable and found and paper is not None else None,
    }


def gains(
    key: str, paper: float | None, paper_base: float | None, ours: Values | None, base: Values | None
) -> Cells:
    """`<key>_gain_paper`, `_gain_ours`, `_gain_std`: a row minus its base, ours paired by seed."""
    paired = gain(ours or {}, base or {})
    return {
        # The paper has one decimal: 38.8 - 37.8 is 1.0, not 0.9999999999999929.
        f"{key}_gain_paper": None if paper is None or paper_base is None else round(paper - paper_base, 3),
        f"{key}_gain_ours": paired.mean if paired else None,
        f"{key}_gain_std": paired.std if paired else None,
    }


def _cells(table: Table, section: Section, line: Line) -> Cells:
    """A line of the CSV file."""
    cells: Cells = {
        **section.columns,
        "row": line.row,
        "dataset": section.dataset or line.network.dataset,
        "split": line.split,
        "method": line.network.method,
        "backbone_paper": line.published.network.backbone if line.published else "",
        "backbone_ours": line.backbone,
        "parameters": line.parameters,
        "seeds": line.seeds,
    }
    if table.has_gains:
        cells["base"] = line.base.row if line.base else ""
    reasons: dict[str, None] = {}
    for measure in section.measures:
        key, paper, found = measure.key, line.paper(measure), marks.reasons(line, measure, bool(table.paper))
        cells |= compare(key, paper, line.values.get(key), marks.comparable(found))
        cells[f"{key}_mark"] = "".join(dict.fromkeys(reason.mark for reason in found))
        reasons |= dict.fromkeys(reason.words for reason in found)
        if measure.gain:
            cells |= gains(key, paper, line.paper_of_base(measure), *line.gained(measure))
    cells["marks"] = "; ".join(reasons)
    if not table.paper:
        # What only a comparison with the paper fills is no column here.
        return {k: v for k, v in cells.items() if "_paper" not in k and not k.endswith("_difference")}
    notes = ([] if line.published else [OURS]) + ([] if line.seeds else [MISSING])
    return cells | {"note": "; ".join(notes)}


def _below(table: Table, section: Section, lines: Sequence[Line]) -> list[str]:
    """What the marks of a section mean."""
    found = []
    for line in lines:
        if line.about:
            place = (
                f"{describe(section.dataset or line.network.dataset).title}, " if table.names_dataset else ""
            )
            each = [marks.reasons(line, measure, bool(table.paper)) for measure in section.measures]
            found.append((place + line.network.method, [reason for reasons in each for reason in reasons]))
    return [f"{text}\n"] if (text := marks.below(found)) else []


def _columns(table: Table, section: Section, frame: pd.DataFrame) -> list[Column]:
    """The columns in Markdown."""

    def backbone(key: str) -> Any:
        return lambda cells: backbone_title(text(key)(cells))

    network: list[Column] = [("method", text("method"))]
    if table.names_dataset:
        network.insert(0, ("dataset", lambda cells: describe(cells["dataset"]).title))
    if table.paper:
        network += [
            ("backbone paper", backbone("backbone_paper")),
            ("backbone ours", backbone("backbone_ours")),
        ]
    else:
        network.append(("backbone", backbone("backbone_ours")))
    network += [
        ("parameters", count("parameters")),
        ("seeds n", lambda cells: str(cells["seeds"]) if cells["seeds"] else DASH),
    ]
    numbers = [column for measure in section.measures for column in _columns_of(table, measure, frame)]
    return [*network, *numbers, *([("note", lambda cells: str(cells["note"]))] if table.paper else [])]


def _columns_of(table: Table, measure: Measure, frame: pd.DataFrame) -> list[Column]:
    key, title, decimals = measure.key, measure.title, measure.decimals
    if not table.paper:
        ours: Column = (title, number(f"{key}_ours", decimals, f"{key}_std", mark=f"{key}_mark"))
        delta: Column = (f"{title} Δ", number(f"{key}_gain_ours", decimals, f"{key}_gain_std", signed=True))
        return [ours, delta] if measure.gain else [ours]
    compared = bool(frame[f"{key}_difference"].notna().any())
    columns = measured(key, title, decimals, measure.paper_decimals, compared)
    return [*columns, *gained(key, title, decimals, measure.paper_decimals)] if measure.gain else columns


def _summary(table: Table, parts: Parts) -> dict[str, dict[str, float]]:
    """Dataset -> name -> mean over its summarised rows."""
    found: dict[str, dict[str, list[float]]] = {}
    counted = [
        (section, line) for section, lines in parts for line in lines if table.summarised(line.network)
    ]
    for section, line in counted:
        of_dataset = found.setdefault(section.dataset or line.network.dataset, {})
        for measure in section.measures:
            ours = line.values.get(measure.key, {})
            own_gain = gain(*line.gained(measure))
            means = {measure.summary_gain: own_gain, measure.summary_mean: spread(ours.values())}
            for name, own in means.items():
                if name and own:
                    of_dataset.setdefault(name, []).append(own.mean)
    # Adding zero turns the -0.0 of a tiny negative number into 0.0.
    return {
        dataset: {name: round(statistics.mean(values), 4) + 0.0 for name, values in of_dataset.items()}
        for dataset, of_dataset in found.items()
        if of_dataset
    }
