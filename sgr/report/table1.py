"""Table 1: mean intersection over union of every method, single- and multi-scale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import about, published, results
from .markdown import gained, measured, render
from .measures import compare, gains
from .names import DATASETS, plain
from .table4 import is_variant

if TYPE_CHECKING:
    import pandas as pd

    from sgr.plan.params import Row

TITLE = "Table 1. Semantic segmentation"
READING = (
    "mIoU in percent, ↑ higher is better; s.s. single-scale, m.s. multi-scale inference with horizontal "
    "flip. difference = ours minus paper. gain = the row minus the row it is added on; ours is paired by "
    "seed. ± is the sample standard deviation over seeds."
)


def build(folder: Path, rows: Mapping[str, Row]) -> tuple[pd.DataFrame, str]:
    """The table's numbers and its Markdown, from results/<profile>: the paper's rows and, among them, ours.

    Args:
        rows: of params.yaml; all are here but the variants of Table 4 and other datasets.
    """
    import pandas as pd

    ours = {name: row.dataset for name, row in rows.items() if not is_variant(name)}
    of_row = {line["row"]: line for line in published.lines(published.load("table1"), ours)}
    splits = published.splits()
    frame = pd.DataFrame([_line(folder, line, of_row, splits) for line in of_row.values()])
    frame["parameters"] = frame["parameters"].astype("Int64")
    columns = [*about.columns()]
    for measure, title in (("miou_ss", "s.s. ↑"), ("miou_ms", "m.s. ↑")):
        columns += [*measured(measure, title, 2, 1), *gained(measure, title, 2, 1)]
    sections = [
        f"## {DATASETS[str(dataset)]}, {part['split'].iloc[0]}\n\n{render(part, [*columns, about.note()])}\n"
        for dataset, part in frame.groupby("dataset", sort=False)
    ]
    return frame, "\n".join([f"# {TITLE}\n\n{READING}\n", *sections])


def _line(
    folder: Path, line: dict[str, Any], of_row: dict[str, dict[str, Any]], splits: dict[str, str]
) -> dict[str, Any]:
    dataset, row = line["dataset"], line["row"]
    split, result = splits[dataset], results.load(folder, dataset, row)
    base = of_row.get(plain(row), {}) if plain(row) != row else {}
    base_result = results.load(folder, dataset, base["row"]) if base else None
    cells: dict[str, Any] = about.about(
        row, dataset, split, line["backbone"], result, len(result.seeds) if result else 0
    )
    cells["base"] = base.get("row", "")
    for measure in ("miou_ss", "miou_ms"):
        ours = result.values(split, measure) if result else None
        base_ours = base_result.values(split, measure) if base_result else None
        cells |= compare(measure, line[measure], ours)
        cells |= gains(measure, line[measure], base.get(measure), ours, base_ours)
    cells["note"] = about.remark(line["in_paper"], result is not None)
    return cells
