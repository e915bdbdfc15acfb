"""Box and mask AP as COCO defines them, by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Place of each figure among the twelve of COCO's evaluation.
FIGURES = {"ap": 0, "ap50": 1, "ap75": 2, "ap_s": 3, "ap_m": 4, "ap_l": 5}
KINDS = {"box": "bbox", "mask": "segm"}


def average_precision(
    ground_truth: Path | dict[str, Any],
    detections: list[dict[str, Any]],
    images: Sequence[int] | None = None,
) -> dict[str, float | None]:
    """{box_ap, box_ap50, box_ap75, box_ap_s, box_ap_m, box_ap_l, mask_ap, ...} in 0..100, at most 100 boxes an image.

    A figure is None where the ground truth has no instance to find. A mask is small, medium or large by its own pixels,
    not by those of its box.

    Args:
        ground_truth: an instances JSON of COCO, or what it holds.
        detections: `image_id`, `category_id` (COCO's), `bbox` [x, y, width, height] in pixels, `score` and
            `segmentation` (RLE) each.
        images: numbers of those that were looked at; of all, unless told.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(ground_truth)
    found: dict[str, float | None] = {}
    for kind, name in KINDS.items():
        dropped = {"box": "segmentation", "mask": "bbox"}[kind]
        chosen = [{k: v for k, v in detection.items() if k != dropped} for detection in detections]
        evaluation = COCOeval_faster(truth, truth.loadRes(chosen), name)
        if images is not None:
            evaluation.params.imgIds = sorted(images)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        for figure, place in FIGURES.items():
            value = float(evaluation.stats[place])
            found[f"{kind}_{figure}"] = None if value < 0 else 100 * value
    return found
