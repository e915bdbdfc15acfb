"""A table from its specification and the result files: its numbers, what people see of them, and its summary."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sgr.errors import UserError

from . import marks
from .layout import Grid, grids
from .lines import Line, Rows, lines_of
from .markdown import parts_of
from .notes import OURS, Cells, Part, seeds
from .notice import notice
from .specification import Section, Table
from .statistics import gain, spread

if TYPE_CHECKING:
    import pandas as pd

Values = Mapping[str, float]
MISSING = "not yet trained by this project"


class Built(NamedTuple):
    """A table.

    Attributes:
        frame: a line a row, with every digit.
        notice: what the numbers are of.
        title, reading: heading, and how to read the numbers.
        grids: for people.
        summary: dataset -> name -> mean over the summarised rows that have the number, to 4 decimals.
    """

    frame: pd.DataFrame
    notice: str
    title: str
    reading: str
    grids: list[Grid]
    summary: dict[str, dict[str, float]]

    @property
    def markdown(self) -> str:
        """For GitHub; its first line is the notice."""
        below = [part for grid in self.grids for part in parts_of(grid)]
        return "\n\n".join([self.notice, f"# {self.title}", self.reading, *below]) + "\n"


def build(table: Table, folder: Path, rows: Rows) -> Built:
    """The table of the results in results/<profile>: the paper's lines and, among them, ours.

    Args:
        folder: results/<profile>.
        rows: of params.yaml by name.

    Raises:
        UserError: a malformed result, or no line.
    """
    import pandas as pd

    parts = []
    for section in table.sections:
        lines = lines_of(table, section, folder, rows)
        parts.append(Part(section, lines, [_cells(table, section, line) for line in lines]))
    if not all(part.lines for part in parts):
        raise UserError(f"{table.title}: no row of params/rows.yaml stands in this table")
    frames = [pd.DataFrame(part.cells) for part in parts]
    for frame in frames:
        frame["parameters"] = frame["parameters"].astype("Int64")
    abouts = [about for part in parts for line in part.lines for about in line.about.values()]
    frame = pd.concat(frames, ignore_index=True)
    reading = " ".join(filter(None, (table.reading, _of_paper(table, frame), seeds(parts))))
    return Built(frame, notice(abouts), table.title, reading, grids(table, parts), _summary(table, parts))


def _of_paper(table: Table, frame: pd.DataFrame) -> str:
    """Where the paper's numbers are, if it has any: beside ours where both are of the same images and schedule."""
    if not table.paper:
        return ""
    keys = dict.fromkeys(measure.key for section in table.sections for measure in section.measures)
    if any(frame[f"{key}_difference"].notna().any() for key in keys if f"{key}_difference" in frame):
        return "In brackets the paper's number, where images and schedule are the paper's."
    return "The paper's numbers, of other images or another schedule, stand in the CSV file."


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


def _summary(table: Table, parts: Sequence[Part]) -> dict[str, dict[str, float]]:
    """Dataset -> name -> mean over its summarised rows."""
    found: dict[str, dict[str, list[float]]] = {}
    counted = [
        (section, line) for section, lines, _ in parts for line in lines if table.summarised(line.network)
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
