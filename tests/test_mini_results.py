"""The committed results of profile mini: every row of every dataset has learnt more than the most frequent class."""

from __future__ import annotations

from typing import Any

import pytest

from sgr.files import read_json
from tests.scratch import ROOT, parameters

KINDS = ("ss", "ms")
ROWS = parameters()["rows"]


def weak(metrics: dict[str, Any]) -> list[str]:
    """What of a split's metrics says that the network has learnt little."""
    found, least = [], 1.5 * metrics["majority_miou"]
    for kind in KINDS:
        miou, known = metrics[f"miou_{kind}"], [iou for iou in metrics[f"iou_{kind}"].values() if iou]
        if metrics[f"collapsed_{kind}"] or miou < least:
            found.append(f"miou_{kind} is {miou:.2f}, not {least:.2f}")
        if sum(iou > 10 for iou in known) < 2:
            found.append(f"iou_{kind} is above 10 for fewer than two classes")
    return found


@pytest.mark.parametrize("row", ROWS)
def test_a_row_beats_the_most_frequent_class(row: str) -> None:
    results = read_json(ROOT / "results" / "mini" / ROWS[row]["dataset"] / f"{row}.json")
    for seed, of_seed in results["seeds"].items():
        for split, metrics in of_seed.items():
            if split != "parameters":
                assert not weak(metrics), f"{row}, seed {seed}, {split}"


def test_one_class_for_everything_is_too_weak() -> None:
    """Half of the pixels of 5 classes: an mIoU of 10, all from one class."""
    metrics: dict[str, Any] = {"majority_miou": 10.0}
    for kind in KINDS:
        iou = {"sky": 50.0, "road": 0.0, "tree": 0.0, "car": 0.0, "boat": 0.0, "person": None}
        metrics |= {f"miou_{kind}": 10.0, f"collapsed_{kind}": True, f"iou_{kind}": iou}
    assert len(weak(metrics)) == 4
    for kind in KINDS:
        iou = {"sky": 60.0, "road": 20.0, "tree": 0.0, "car": 0.0, "boat": 0.0, "person": None}
        metrics |= {f"miou_{kind}": 16.0, f"collapsed_{kind}": False, f"iou_{kind}": iou}
    assert not weak(metrics)
