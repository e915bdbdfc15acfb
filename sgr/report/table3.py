"""Table 3: box and mask AP of Mask R-CNN C4 on MS-COCO, by what it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import about, published, results
from .markdown import measured, render
from .measures import compare

if TYPE_CHECKING:
    import pandas as pd

    from sgr.plan.params import Transfer

TITLE = "Table 3. Transfer to detection and instance segmentation"
READING = (
    "AP in percent, ↑ higher is better, by COCO's evaluation on val2017: AP is the mean over IoU 0.50 to 0.95; S, M "
    "and L are instances below 32², below 96² and from 96² pixels on. The plain row starts from "
    "ImageNet's weights, the others from the network of COCO-Stuff-10K without its head, the unit kept. "
    "difference = ours minus paper. ± is the sample standard deviation over seeds."
)
DATASET, SPLIT = "coco", "val2017"
FIGURES = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_s": "AP S", "ap_m": "AP M", "ap_l": "AP L"}
TASKS = {"box": "Boxes", "mask": "Masks"}


def build(folder: Path, rows: Mapping[str, Transfer]) -> tuple[pd.DataFrame, str]:
    """The table's numbers and its Markdown, from results/<profile>: the paper's rows and, behind them, ours.

    Args:
        rows: the transfer rows of params.yaml.
    """
    import pandas as pd

    paper = published.load("table3").assign(dataset=DATASET)
    ours = dict.fromkeys(rows, DATASET)
    lines: list[dict[str, Any]] = []
    for task in TASKS:
        of_task = published.lines(paper[paper["task"] == task], ours)
        lines += [_line(folder, line | {"task": task}) for line in of_task]
    frame = pd.DataFrame(lines)
    frame["parameters"] = frame["parameters"].astype("Int64")
    columns = [*about.columns()]
    for figure, title in FIGURES.items():
        columns += measured(figure, f"{title} ↑", 2, 2)
    sections = [
        f"## {title}\n\n{render(frame[frame['task'] == task], [*columns, about.note()])}\n"
        for task, title in TASKS.items()
    ]
    return frame, "\n".join([f"# {TITLE}\n\n{READING}\n", *sections])


def _line(folder: Path, line: dict[str, Any]) -> dict[str, Any]:
    row, task, result = line["row"], line["task"], results.load(folder, DATASET, line["row"])
    seeds = len(result.seeds) if result else 0
    cells = {"task": task, **about.about(row, DATASET, SPLIT, line["backbone"], result, seeds)}
    for figure in FIGURES:
        ours = result.values(SPLIT, f"{task}_{figure}") if result else None
        cells |= compare(figure, line[figure], ours)
    cells["note"] = about.remark(line["in_paper"], result is not None)
    return cells
