"""A row of Table 3 in small: generated MS-COCO with its manifest, and plan entries of a tiny Mask R-CNN."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sgr.detection.settings import DetectorSettings, DetectSettings, TransferFiles, TransferSettings
from sgr.download import manifest
from sgr.files import write_json
from sgr.generated.generate import generate
from sgr.training.settings import Run
from tests import tiny_row

ROWS = ("coco-imagenet", "coco-glore", "coco-sgr", "coco-sgr-no-token-supervision")


def make(root: Path, train: int = 8, test: int = 6, size: tuple[int, int] = (64, 80)) -> TransferFiles:
    """Generate MS-COCO and return what a transfer job reads."""
    generate("coco", root / "coco", {"train2017": train, "val2017": test}, size, seed=0)
    write_json(root / "coco.json", manifest.make(root / "coco", "coco"))
    run = Run("a tiny row", loader_workers=0, checkpoint_seconds=0)
    return TransferFiles(root / "coco", root / "coco.json", None, None, run)


def network(settings: DetectorSettings) -> DetectorSettings:
    """The same with few tokens, proposals and boxes."""
    unit = settings.unit and tiny_row.unit(settings.unit)
    return replace(settings, unit=unit, proposals=16, boxes=8)


def transfer(row: str, *, loop: dict[str, Any] | None = None, **changes: Any) -> TransferSettings:
    """The transfer settings of params.yaml's profile `mini`, made tiny: 5 iterations of 2 images.

    Args:
        loop: changes of these settings; `changes`: of the others.
    """
    found: TransferSettings = tiny_row.entries()[f"transfer/{row}"].settings
    tiny = {
        "network": network(found.network),
        "min_sizes": (56, 64),
        "max_size": 96,
        "loop": replace(found.loop, **{"iterations": 5, "batch_size": 2, "log_every": 2, **(loop or {})}),
        "milestones": (3,),
        "warmup": 1,
    }
    return replace(found, **{**tiny, **changes})


def detection(row: str) -> DetectSettings:
    """The evaluation settings of the profile, for the network of `transfer`."""
    found: DetectSettings = tiny_row.entries()[f"detect/{row}"].settings
    return replace(found, network=network(found.network), min_size=64, max_size=96)
