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

    from sgr.plan.params import Row

TITLE = "Table 2. Semantics and diversity of the tokens"
READING = (
    "S: entropy of a token's votes, base 10, ↓ lower is better. D: variance between the tokens' votes, "
    "↑ higher is better. difference = ours minus paper. ± is the sample standard deviation over seeds."
)
INSTANCES = (
    "The networks are those trained on COCO-Stuff-10K, the images those of MS-COCO val2017. Bins are an image's "
    "instances of things; crowd regions and stuff are left out, and so are images without an instance."
)
# Its row is of the dataset that it was trained on, its line of the one whose instances it is compared with.
TRAINED_ON, INSTANCES_OF = "cocostuff10k", "coco"


def build(folder: Path, rows: Mapping[str, Row]) -> tuple[pd.DataFrame, str]:
    """The table's numbers and its Markdown, from results/<profile>: the paper's rows and, among them, ours.

    Args:
        rows: of params.yaml; all with regions are here but the variants of Table 4 and other datasets.
    """
    import pandas as pd

    paper = published.load("table2")
    ours = {name: row.dataset for name, row in rows.items() if row.has_regions and not is_variant(name)}
    seen = {
        row: INSTANCES_OF
        for row, dataset in ours.items()
        if dataset == TRAINED_ON and results.load(folder, TRAINED_ON, row, results.INSTANCES)
    }
    lines = [
        {**line, "level": level}
        for level, own in (("class", ours), ("instance", seen))
        for line in published.lines(paper[paper["level"] == level], own)
    ]
    frame = pd.DataFrame([_line(folder, line, published.splits()) for line in lines])
    frame["parameters"] = frame["parameters"].astype("Int64")
    sections = []
    for level, title, letter in (("class", "Class level", "C"), ("instance", "Instance level", "I")):
        heading = f"## {title}\n\n" + (f"{INSTANCES}\n\n" if level == "instance" else "")
        part = frame[frame["level"] == level].assign(where=lambda lines: lines["dataset"].map(DATASETS))
        columns = [
            ("dataset", text("where")),
            *about.columns(),
            *measured("semantics", f"S_{letter} ↓", 3, 3),
            *measured("diversity", f"D_{letter} ↑", 3, 3),
            about.note(),
        ]
        sections.append(f"{heading}{render(part, columns)}\n")
    return frame, "\n".join([f"# {TITLE}\n\n{READING}\n", *sections])


def _line(folder: Path, line: dict[str, Any], splits: dict[str, str]) -> dict[str, Any]:
    row, level, dataset = line["row"], line["level"], line["dataset"]
    if level == "class":
        home, split, suffix = dataset, splits.get(dataset, "val"), results.SEMANTICS
    else:
        home, split, suffix = TRAINED_ON, results.INSTANCE_SPLIT, results.INSTANCES
    result = results.load(folder, home, row, suffix)
    # The backbone stands in the row's mIoU result, which a tokens' result need not repeat.
    network = (results.load(folder, home, row) or result) if result else None
    cells: dict[str, Any] = {
        "level": level,
        **about.about(row, dataset, split, line["backbone"], network, len(result.seeds) if result else 0),
    }
    for name in ("semantics", "diversity"):
        cells |= compare(name, line[name], result.values(split, f"{name}_{level}") if result else None)
    cells["note"] = about.remark(line["in_paper"], result is not None)
    return cells
