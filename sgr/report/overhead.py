"""Computational overhead: what SGR and GloRe add to every network (supplementary material)."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.datasets import describe
from sgr.files import write_bytes
from sgr.models.families import FAMILIES

from .labels import PROTOSEG, UNITS, backbone_title
from .markdown import DASH, Column, render, text

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Computational overhead"
READING = (
    "In brackets the ratio to the plain network of the same family and backbone. FLOPs: convolutions and matrix "
    "products of the forward pass of one image of {height} × {width} pixels to class scores at its size, a "
    "multiply-add counted as 2. Memory: what a forward pass of that image (evaluation mode), or a training step of "
    "{batch_size} such images (forward, losses, backward; no optimizer), adds to the weights and the batch at its "
    "peak, in tensors. Times: medians of {repeats} rounds in which the networks of a family take turns. Labels are "
    "those of {dataset}, in fields of random classes. Parameters and FLOPs are the same on every machine; memory and "
    "times are this machine's."
)
# measure -> its column of the CSV file, title, what one unit of the table is, decimals there
MEASURES = (
    ("parameters", "parameters, M", 1e6, 2),
    ("flops", "GFLOPs", 1e9, 2),
    ("step_memory", "step memory, MiB", 2**20, 0),
    ("forward_memory", "forward memory, MiB", 2**20, 0),
    ("step_ms", "step time, ms", 1, 1),
    ("forward_ms", "forward time, ms", 1, 1),
)


def write(found: dict[str, Any], profile: str, results: Path = Path("results")) -> None:
    """Write results/overhead/<profile>.md and .csv from what the job `sgr.cost.overhead` measured."""
    frame = build(found)
    height, width = found["crop"]
    threads = f"{found['threads']} thread{'s' if found['threads'] > 1 else ''}"
    reading = READING.format(
        height=height,
        width=width,
        batch_size=found["batch_size"],
        repeats=found["repeats"],
        dataset=describe(found["dataset"]).title,
    )
    used = dict.fromkeys(backbone_title(record["backbone"]) for record in found["networks"])
    parts = [
        f"Random images of {height} × {width} pixels, not a dataset; {', '.join(used)}.",
        f"Device: {found['device']}; {threads}; {found['precision']}; torch {found['torch']}.",
        f"# {TITLE}",
        reading,
        render(frame, columns()),
    ]
    folder = results / "overhead"
    write_bytes(folder / f"{profile}.csv", frame.to_csv(index=False, lineterminator="\n").encode())
    write_bytes(folder / f"{profile}.md", ("\n\n".join(parts) + "\n").encode())


def build(found: dict[str, Any]) -> pd.DataFrame:
    """One line a network: its measures, bytes and FLOPs as whole numbers, and their ratios to the plain network."""
    import pandas as pd

    lines = [_line(record) for record in found["networks"]]
    plain = {(line["family"], line["backbone"]): line for line in lines if not line["unit"]}
    for line in lines:
        base = plain.get((line["family"], line["backbone"]), {})
        for name, *_ in MEASURES:
            value, of = line[name], base.get(name)
            line[f"{name}_ratio"] = value / of if value is not None and of else None
    frame = pd.DataFrame(lines)
    whole = ["parameters", "flops", "step_memory", "forward_memory"]
    frame[whole] = frame[whole].astype("Int64")
    return frame.assign(device=found["device"], threads=found["threads"])


def columns() -> list[Column]:
    """method | backbone | each measure with its ratio."""
    measures = [(title, _measure(name, unit, decimals)) for name, title, unit, decimals in MEASURES]
    return [("method", text("method")), ("backbone", lambda row: backbone_title(row["backbone"])), *measures]


def _line(record: dict[str, Any]) -> dict[str, Any]:
    family, unit = record["family"], record["unit"]
    added = {**UNITS, "protoseg": PROTOSEG, "": ""}[unit]
    return {
        "network": record["name"],
        "method": " + ".join(filter(None, (FAMILIES[family].title, added))),
        **{key: record[key] for key in ("family", "backbone", "unit", "parameters", "flops")},
        "step_memory": record["step_memory"],
        "forward_memory": record["forward_memory"],
        "step_ms": 1000 * statistics.median(record["step_seconds"]),
        "forward_ms": 1000 * statistics.median(record["forward_seconds"]),
    }


def _measure(name: str, unit: float, decimals: int) -> Callable[[dict[str, Any]], str]:
    import pandas as pd

    def cell(row: dict[str, Any]) -> str:
        if pd.isna(row[name]):
            return DASH
        shown = f"{float(row[name]) / unit:.{decimals}f}"
        ratio = row[f"{name}_ratio"]
        return shown if not row["unit"] or pd.isna(ratio) else f"{shown} (×{ratio:.2f})"

    return cell
