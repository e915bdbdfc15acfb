"""Table 1: mean intersection over union of every method, single- and multi-scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import about, published, results
from .markdown import gained, measured, render
from .measures import compare, gains
from .names import DATASETS

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Table 1. Semantic segmentation"
READING = (
    "mIoU in percent, ↑ higher is better; s.s. single-scale, m.s. multi-scale inference with horizontal "
    "flip. difference = ours minus paper. gain = the row minus the row it is added on; ours is paired by "
    "seed. ± is the sample standard deviation over seeds."
)


def build(folder: Path) -> tuple[pd.DataFrame, str]:
    """The table's numbers and its Markdown, from results/<profile>."""
    import pandas as pd

    paper = published.load("table1")
    of_row = {line["row"]: line for line in paper.to_dict("records")}
    frame = pd.DataFrame([_line(folder, line, of_row) for line in of_row.values()])
    frame["parameters"] = frame["parameters"].astype("Int64")
    columns = [*about.columns()]
    for measure, title in (("miou_ss", "s.s. ↑"), ("miou_ms", "m.s. ↑")):
        columns += [*measured(measure, title, 2, 1), *gained(measure, title, 2, 1)]
    sections = [
        f"## {DATASETS[str(dataset)]}, {part['split'].iloc[0]}\n\n{render(part, [*columns, about.note()])}\n"
        for dataset, part in frame.groupby("dataset", sort=False)
    ]
    return frame, "\n".join([f"# {TITLE}\n\n{READING}\n", *sections])


def _line(folder: Path, line: dict[Any, Any], of_row: dict[Any, dict[Any, Any]]) -> dict[str, Any]:
    dataset, split, row = line["dataset"], line["split"], line["row"]
    result = results.load(folder, dataset, row)
    base = of_row.get(line["base"], {})
    base_result = results.load(folder, dataset, line["base"]) if base else None
    cells: dict[str, Any] = about.about(
        row, dataset, split, line["backbone"], result, len(result.seeds) if result else 0
    )
    cells["base"] = line["base"]
    for measure in ("miou_ss", "miou_ms"):
        ours = result.values(split, measure) if result else None
        base_ours = base_result.values(split, measure) if base_result else None
        cells |= compare(measure, line[measure], ours)
        cells |= gains(measure, line[measure], base.get(measure), ours, base_ours)
    cells["note"] = "" if result else about.MISSING
    return cells
