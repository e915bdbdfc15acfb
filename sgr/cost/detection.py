"""What a row of Table 3 will cost before it runs: the FLOPs of Mask R-CNN C4 on an image, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from sgr.cost.segmentation import (
    COPIES,
    FP32_SHARE,
    MOMENTS,
    PASSES,
    Cost,
    ImagesOf,
    Size,
    by_content,
    byte_counts,
    counting,
    without_values,
)
from sgr.detection.network import build
from sgr.detection.samples import scaled
from sgr.detection.settings import STRIDE, DetectorSettings, TransferSettings
from sgr.plan.entry import Entry


class Footprint(NamedTuple):
    """Mask R-CNN's forward passes and its weights.

    training, evaluation: FLOPs of one image of the size counted, with as many regions and masks as the network takes
        at most in training and in evaluation.
    weights: bytes of the file of weights.
    parameters: bytes of what the optimizer learns.
    """

    training: float
    evaluation: float
    weights: int
    parameters: int


def estimate(row: Mapping[str, Entry[Any]], images_of: ImagesOf, tflops: float) -> Cost:
    """The cost of one seed of a row.

    Args:
        row: plan entries by stage: `transfer`, and `detect` where it is wanted.
        images_of: what is evaluated; images for training are as large as these.
        tflops: that one GPU sustains in training in bf16, 10¹² FLOP/s.
    """
    settings: TransferSettings = row["transfer"].settings
    sides, longest = settings.min_sizes, settings.max_size
    ((images, size),) = images_of[row["transfer"].dataset].values()
    learned = footprint(settings.network, scaled(size, round(sum(sides) / len(sides)), longest))
    whole = footprint(settings.network, scaled(size, sides[-1], longest))
    hour = 3600 * 1e12 * tflops * FP32_SHARE
    steps = settings.loop.batch_size * settings.loop.iterations
    hours = {"transfer": PASSES * learned.training * steps / hour}
    if "detect" in row:
        hours["detect"] = images * whole.evaluation / hour
    checkpoint = learned.weights + MOMENTS["sgd"] * learned.parameters
    return Cost(hours, COPIES * learned.weights, checkpoint)


@by_content  # rows that differ in their start share their network
def footprint(network: DetectorSettings, size: Size) -> Footprint:
    """The footprint of a network, counted at a size that is padded as a batch of one."""
    built = without_values(lambda: build(network))
    heads, boxes = built.heads, [torch.empty(1, 4)]
    with counting() as counter:
        # all stages but the last; where there is a unit, that and the last stage on the whole image
        maps = built(torch.empty(1, 3, *(-(-side // STRIDE) * STRIDE for side in size)))
        built.proposals.head([maps.shared])
        image = counter.get_total_flops()
        shared = {"shared": maps.shared}
        heads.box_predictor(heads.box_head(heads.box_roi_pool(shared, boxes, [size])))
        region = counter.get_total_flops() - image
        heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(shared, boxes, [size])))
        mask = counter.get_total_flops() - image - region
    learned = heads.fg_bg_sampler.batch_size_per_image
    return Footprint(
        image + learned * (region + heads.fg_bg_sampler.positive_fraction * mask),
        image + built.proposals.post_nms_top_n() * region + heads.detections_per_img * mask,
        *byte_counts(built),
    )


def assumptions() -> list[str]:
    """What the estimate rests on, a sentence each."""
    return [
        f"Table 3: a step is {PASSES} forward passes, as nothing but batch norm is frozen, at the mean of `min_sizes`, "
        "without the padding of a batch; the last stage runs on each of `boxes` regions of an image and again on the "
        "quarter of them that have masks, in evaluation on `proposals` and again on 100 detections; where there is a "
        "unit, on the whole image too",
    ]
