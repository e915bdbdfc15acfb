"""Table 4: ablations of Dil-FCN + SGR on COCO-Stuff-10K."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import about, published, results
from .markdown import gained, measured, render
from .measures import compare, gains

if TYPE_CHECKING:
    import pandas as pd

    from sgr.plan.params import Row

TITLE = "Table 4. Ablations on COCO-Stuff-10K"
READING = (
    "mIoU in percent, multi-scale (the paper's 39.7 is Table 1's multi-scale number); S ↓ lower is better, "
    "D ↑ higher is better. difference = ours minus paper. gain = the variant minus the whole unit "
    "(first line); ours is paired by seed. ± is the sample standard deviation over seeds. S_C and D_C are of the "
    "test images; S_I and D_I of MS-COCO val2017, whose bins are an image's instances of things: crowd regions, stuff "
    "and images without an instance are left out."
)
DATASET = "cocostuff10k"
WHOLE = f"{DATASET}-fcn-sgr"
# Column of the paper's CSV -> our metric of the tokens.
OF_CLASSES = {"s_c": "semantics_class", "d_c": "diversity_class"}
OF_INSTANCES = {"s_i": "semantics_instance", "d_i": "diversity_instance"}


def is_variant(row: str) -> bool:
    """Whether a row is one of this table and of no other: an ablation of the whole unit."""
    return row.startswith(f"{WHOLE}-")


def build(folder: Path, rows: Mapping[str, Row]) -> tuple[pd.DataFrame, str]:
    """The table's numbers and its Markdown, from results/<profile>: the paper's variants, then ours.

    Args:
        rows: of params.yaml; those called like the whole unit's with more behind are here.
    """
    import pandas as pd

    paper = published.load("table4").assign(dataset=DATASET)
    ours = {name: row.dataset for name, row in rows.items() if is_variant(name)}
    lines = published.lines(paper, ours)
    whole = next(line for line in lines if line["row"] == WHOLE)
    frame = pd.DataFrame([_line(folder, line, whole) for line in lines])
    frame["parameters"] = frame["parameters"].astype("Int64")
    columns = [
        *about.columns(),
        *measured("miou_ms", "mIoU m.s. ↑", 2, 1),
        *gained("miou_ms", "mIoU m.s. ↑", 2, 1),
    ]
    for name, title in (("s_c", "S_C ↓"), ("d_c", "D_C ↑"), ("s_i", "S_I ↓"), ("d_i", "D_I ↑")):
        columns += measured(name, title, 3, 3)
    return frame, f"# {TITLE}\n\n{READING}\n\n{render(frame, [*columns, about.note()])}\n"


def _line(folder: Path, line: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    row, split = line["row"], published.splits()[DATASET]
    result = results.load(folder, DATASET, row)
    ours = result.values(split, "miou_ms") if result else None
    backbone = "resnet101" if line["in_paper"] else ""
    cells: dict[str, Any] = about.about(
        row, DATASET, split, backbone, result, len(result.seeds) if result else 0
    )
    cells |= compare("miou_ms", line["miou_cocostuff10k"], ours)
    if line is whole:
        cells |= gains("miou_ms", None, None, None, None)
    else:
        whole_result = results.load(folder, DATASET, whole["row"])
        whole_ours = whole_result.values(split, "miou_ms") if whole_result else None
        cells |= gains("miou_ms", line["miou_cocostuff10k"], whole["miou_cocostuff10k"], ours, whole_ours)
    for metrics, suffix, seen in (
        (OF_CLASSES, results.SEMANTICS, split),
        (OF_INSTANCES, results.INSTANCES, results.INSTANCE_SPLIT),
    ):
        tokens = results.load(folder, DATASET, row, suffix)
        for name, metric in metrics.items():
            cells |= compare(name, line[name], tokens.values(seen, metric) if tokens else None)
    cells["note"] = about.remark(line["in_paper"], result is not None)
    return cells
