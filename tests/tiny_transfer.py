"""A row of Table 3 in small: generated MS-COCO with its manifest, and plan entries of a tiny Mask R-CNN."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

from sgr.data import manifest
from sgr.files import write_json
from sgr.generated.generate import generate
from sgr.plan.entries import entries as plan
from sgr.plan.params import load
from tests.tiny_row import ROOT

ROWS = ("coco-imagenet", "coco-glore", "coco-sgr", "coco-sgr-no-token-supervision")


def make(root: Path, train: int = 8, test: int = 6, size: tuple[int, int] = (64, 80)) -> dict[str, Any]:
    """Generate MS-COCO and return the `where` of a transfer job."""
    generate("coco", root / "coco", {"train2017": train, "val2017": test}, size, seed=0)
    write_json(root / "coco.json", manifest.make(root / "coco", "coco"))
    return {
        "data": str(root / "coco"),
        "manifest": str(root / "coco.json"),
        "weights": None,
        "model": None,
        "loader_workers": 0,
        "checkpoint_seconds": 0,
    }


def entry(stage: str, row: str, **training: Any) -> dict[str, Any]:
    """The entry of params.yaml's profile `mini`, made tiny; `training` changes settings of that section."""
    found = copy.deepcopy(_entries()[f"{stage}/{row}"])
    if unit := found["network"]["unit"]:
        unit |= {"K": 8, "D": 16} | ({"heads": 2} if unit["kind"] == "sgr" else {})
    found["network"] |= {"proposals": 16, "boxes": 8}
    found |= {"min_sizes": [56, 64], "max_size": 96}
    if stage == "transfer":
        short = {"iterations": 5, "batch_size": 2, "milestones": [3], "warmup": 1, "log_every": 2}
        found["training"] |= short | training
    return found


def spec(row: str, **training: Any) -> dict[str, Any]:
    """The spec of a transfer job."""
    return {"plan": entry("transfer", row, **training), "seed": 0}


@cache
def _entries() -> dict[str, dict[str, Any]]:
    return plan.entries(load(ROOT / "params.yaml").model_copy(update={"profile": "mini"}), ROOT)
