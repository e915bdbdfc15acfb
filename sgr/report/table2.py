"""Table 2: semantics and diversity of the tokens (section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import about, published, results
from .markdown import measured, render, text
from .measures import compare
from .names import DATASETS
from .table4 import is_variant

if TYPE_CHECKING:
    import pandas as pd

    from sgr.config import Row

TITLE = "Table 2. Semantics and diversity of the tokens"
READING = (
    "S: entropy of a token's votes, base 10, ↓ lower is better. D: variance between the tokens' votes, "
    "↑ higher is better. difference = ours minus paper. ± is the sample standard deviation over seeds."
)
NO_INSTANCES = "instance level not yet measured by this project"


def build(folder: Path, rows: Mapping[str, Row]) -> tuple[pd.DataFrame, str]:
    """The table's numbers and its Markdown, from results/<profile>: the paper's rows and, among them, ours.

    Args:
        rows: of params.yaml; all with regions are here but the variants of Table 4 and other datasets.
    """
    import pandas as pd

    paper = published.load("table2")
    ours = {name: row.dataset for name, row in rows.items() if row.has_regions and not is_variant(name)}
    of_class = published.lines(paper[paper["level"] == "class"], ours)
    of_instance = published.lines(paper[paper["level"] == "instance"], {})
    lines = [{**line, "level": "class"} for line in of_class] + of_instance
    frame = pd.DataFrame([_line(folder, line, published.splits()) for line in lines])
    frame["parameters"] = frame["parameters"].astype("Int64")
    sections = []
    for level, title, letter in (("class", "Class level", "C"), ("instance", "Instance level", "I")):
        part = frame[frame["level"] == level].assign(where=lambda lines: lines["dataset"].map(DATASETS))
        columns = [
            ("dataset", text("where")),
            *about.columns(),
            *measured("semantics", f"S_{letter} ↓", 3, 3),
            *measured("diversity", f"D_{letter} ↑", 3, 3),
            about.note(),
        ]
        sections.append(f"## {title}\n\n{render(part, columns)}\n")
    return frame, "\n".join([f"# {TITLE}\n\n{READING}\n", *sections])


def _line(folder: Path, line: dict[str, Any], splits: dict[str, str]) -> dict[str, Any]:
    row, level, dataset = line["row"], line["level"], line["dataset"]
    split = splits.get(dataset, "val")
    measured_here = level == "class"
    result = results.load(folder, dataset, row, results.SEMANTICS) if measured_here else None
    # The backbone stands in the row's mIoU result, which a tokens' result need not repeat.
    network = (results.load(folder, dataset, row) or result) if result else None
    cells: dict[str, Any] = {
        "level": level,
        **about.about(row, dataset, split, line["backbone"], network, len(result.seeds) if result else 0),
    }
    for name in ("semantics", "diversity"):
        cells |= compare(name, line[name], result.values(split, f"{name}_{level}") if result else None)
    cells["note"] = about.remark(line["in_paper"], result is not None) if measured_here else NO_INSTANCES
    return cells
