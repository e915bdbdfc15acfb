"""What a result file says its numbers are of: tiny runs on generated images, and what compares with the paper."""

from __future__ import annotations

from typing import Any

from sgr.datasets import describe
from sgr.report import published

# where results are measured, if not on val alone
SPLITS = {"cocostuff10k": ("test",), "camvid": ("val", "test"), "coco": ("val2017",)}
# of a network that has neither collapsed nor lost to the most frequent class
SOUND = {"majority_miou": 0.5, "collapsed_ss": False, "collapsed_ms": False}
TINY = {"backbone": "tiny", "iterations": 64, "batch_size": 4, "crop": [96, 96], "resize": 1.0}


def tiny(
    dataset: str,
    learnt: str = "",
    images: dict[str, int] | None = None,
    source: str = "generated",
    **training: Any,
) -> dict[str, Any]:
    """Of 8 generated images of each split, trained on 64 of `learnt`, another dataset unless it is empty."""
    return _about(source, dataset, learnt or dataset, images or {}, {**TINY, **training})


def real(
    dataset: str, learnt: str = "", images: dict[str, int] | None = None, **training: Any
) -> dict[str, Any]:
    """Of the real images and the paper's schedule, less what is told: `images` of a split, settings of training."""
    learnt = learnt or dataset
    iterations, batch_size, crop = published.schedules()[learnt]
    schedule: dict[str, Any] = {"backbone": "resnet101", "iterations": iterations, "batch_size": batch_size}
    sizes = {"crop": crop, "resize": 1.0} if crop else {"sides": [640, 800]}
    whole = {split: of.images for name in (dataset, learnt) for split, of in describe(name).splits.items()}
    return _about("folder", dataset, learnt, whole | (images or {}), {**schedule, **sizes, **training})


def _about(
    source: str, dataset: str, learnt: str, images: dict[str, int], training: dict[str, Any]
) -> dict[str, Any]:
    def count(name: str, split: str, usual: int) -> dict[str, int]:
        return {"images": images.get(split, usual), "official": describe(name).splits[split].images}

    first = next(iter(describe(learnt).splits))
    return {
        "source": source,
        "splits": {split: count(dataset, split, 8) for split in SPLITS.get(dataset, ("val",))},
        "training": {"dataset": learnt, "split": first, "images": count(learnt, first, 64), **training},
    }
