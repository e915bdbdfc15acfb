"""Our own table: every row of CamVid, on val and test; the paper has no numbers there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.errors import UserError

from . import about, names, results
from .markdown import Column, number, render
from .measures import compare, gains

if TYPE_CHECKING:
    import pandas as pd

    from sgr.plan.params import Row

TITLE = "CamVid"
READING = (
    "mIoU in percent, ↑ higher is better; s.s. single-scale, m.s. multi-scale inference with horizontal "
    "flip. Δ = the row minus the plain row of the same head, paired by seed. S_C ↓ lower is better and D_C ↑ "
    "higher is better (section 4 of the paper), on val. ± is the sample standard deviation over seeds; a "
    "row of dashes is not yet trained. The paper has no numbers for CamVid."
)
DATASET = "camvid"
MEASURES = [(split, scale) for split in ("val", "test") for scale in ("ss", "ms")]


def build(folder: Path, rows: Mapping[str, Row]) -> tuple[pd.DataFrame, str]:
    """The table's numbers and its Markdown, from results/<profile>: the rows of CamVid in params.yaml.

    Raises:
        UserError: no row has a result.
    """
    import pandas as pd

    of_camvid = sorted((name for name, row in rows.items() if row.dataset == DATASET), key=names.order)
    lines = [_line(folder, row) for row in of_camvid]
    if not any(line["seeds"] for line in lines):
        raise UserError(f"{folder / DATASET} holds no result: run `dvc repro table_camvid`")
    frame = pd.DataFrame(lines)
    frame["parameters"] = frame["parameters"].astype("Int64")
    titles = {"backbone ours": "backbone"}
    columns: list[Column] = [
        (titles.get(title, title), cell) for title, cell in about.columns() if title != "backbone paper"
    ]
    for split, scale in MEASURES:
        key, title = f"{split}_miou_{scale}", f"{split} {scale[0]}.s. ↑"
        columns += [
            (title, number(f"{key}_ours", 2, f"{key}_std")),
            (f"{title} Δ", number(f"{key}_gain_ours", 2, f"{key}_gain_std", signed=True)),
        ]
    columns += [
        ("val S_C ↓", number("semantics_class_ours", 3, "semantics_class_std")),
        ("val D_C ↑", number("diversity_class_ours", 3, "diversity_class_std")),
    ]
    # What only a comparison with the paper fills is no column here.
    unused = [name for name in frame.columns if "_paper" in name or name.endswith("_difference")]
    return frame.drop(columns=unused), f"# {TITLE}\n\n{READING}\n\n{render(frame, columns)}\n"


def _line(folder: Path, row: str) -> dict[str, Any]:
    result = results.load(folder, DATASET, row)
    plain = names.plain(row)
    base = results.load(folder, DATASET, plain) if plain != row else None
    tokens = results.load(folder, DATASET, row, results.SEMANTICS)
    cells: dict[str, Any] = about.about(row, DATASET, "val", "", result, len(result.seeds) if result else 0)
    cells["split"] = "val, test"
    for split, scale in MEASURES:
        key, metric = f"{split}_miou_{scale}", f"miou_{scale}"
        ours = result.values(split, metric) if result else None
        cells |= compare(key, None, ours)
        cells |= gains(key, None, None, ours, base.values(split, metric) if base else None)
    for metric in ("semantics_class", "diversity_class"):
        cells |= compare(metric, None, tokens.values("val", metric) if tokens else None)
    return cells
