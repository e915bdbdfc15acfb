"""Mean intersection over union from one confusion matrix of the whole dataset (Cityscapes' definition)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def confusion(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Confusion matrix (classes, classes), rows the labels, of int64 counts; labels from `classes` on are ignored.

    Args:
        predicted: integers below `classes`, any shape.
        labels: integers in 0..255, same shape.
    """
    # one bincount over all 256 label values: a boolean mask to drop the ignored ones would cost five times more
    pairs = labels.flatten().long() * classes + predicted.flatten()
    return torch.bincount(pairs, minlength=256 * classes)[: classes * classes].view(classes, classes)


def summary(matrix: Tensor, names: tuple[str, ...]) -> dict[str, Any]:
    """mIoU and IoU of each class in 0..100, pixel accuracy, and whether the network has collapsed.

    A class in neither labels nor predictions is left out of the mean, and its IoU is None. A network has collapsed that
    predicts one class for everything where the labels hold several.
    """
    counts = matrix.double()
    hit = counts.diag()
    union = counts.sum(0) + counts.sum(1) - hit
    seen = union > 0
    iou = 100 * hit / union.clamp_min(1)
    total = float(counts.sum())
    return {
        "miou": float(iou[seen].mean()) if bool(seen.any()) else None,
        "pixel_accuracy": 100 * float(hit.sum()) / total if total else None,
        "iou": {
            name: float(value) if present else None
            for name, value, present in zip(names, iou, seen, strict=True)
        },
        "collapsed": int((counts.sum(0) > 0).sum()) == 1 < int((counts.sum(1) > 0).sum()),
    }


def labelled(matrix: Tensor) -> dict[str, Any]:
    """How many classes have a labelled pixel, and the mIoU that predicting the most frequent one everywhere reaches.

    What is labelled stands in the rows, so any network's matrix will do. That prediction has one IoU above 0, its
    class's share of the labelled pixels; the mIoU is None where no pixel is labelled.
    """
    pixels = matrix.double().sum(1)
    classes, total = int((pixels > 0).sum()), float(pixels.sum())
    return {
        "classes": classes,
        "majority_miou": 100 * float(pixels.max()) / total / classes if total else None,
    }
