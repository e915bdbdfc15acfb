"""The evaluation job of one transfer row and one seed: box and mask AP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools import mask as rle
from torch.utils.data import DataLoader
from torchvision.models.detection.roi_heads import paste_masks_in_image
from tqdm import tqdm

from sgr.data.coco import CATEGORY_IDS, annotation_file, described, read_instances
from sgr.data.manifest import check
from sgr.detection.average_precision import KINDS, average_precision
from sgr.detection.network import MaskRCNN, Target, build
from sgr.detection.samples import EvaluationImages, Item, padded
from sgr.detection.settings import STRIDE, DetectSettings
from sgr.device import measured, memory_format, reproducible
from sgr.evaluation.settings import EvaluationFiles
from sgr.files import read_json, write_json
from sgr.models import weights_file
from sgr.models.network import parameter_count


def evaluate(settings: DetectSettings, files: EvaluationFiles, seed: int, folder: Path) -> None:
    """Write metrics.json: {split: {box_ap, ..., mask_ap_l}, parameters}.

    A split's `images` and `classes` of their instances are those that were seen; `box_finds_nothing` and
    `mask_finds_nothing` tell a network whose AP is 0.

    Images come and go one by one; of what is seen in them, boxes, scores and run lengths of the masks stay.
    """
    device = reproducible(seed, settings.threads)
    manifest = read_json(files.manifest)
    check(files.data, manifest)
    network = build(settings.network)
    network.load_state_dict(weights_file.read(files.model))
    network.to(device).to(memory_format=memory_format(settings.channels_last)).eval()

    split = settings.split
    annotations = described(files.data, manifest, split)
    images = EvaluationImages(annotations, min_size=settings.min_size, max_size=settings.max_size)
    loader = DataLoader(images, batch_size=None, num_workers=files.loader_workers)
    title = f"{files.title} on {split}"
    began = time.monotonic()
    found: list[dict[str, Any]] = []
    for item in tqdm(loader, desc=title, total=len(images), unit="image", mininterval=1):
        found += detect(network, item, device)
    speed = len(images) / (time.monotonic() - began)
    ids = [image.id for image in annotations.images]
    metrics: dict[str, Any] = {**average_precision(annotation_file(files.data, split), found, ids)}
    metrics |= {f"{kind}_finds_nothing": metrics[f"{kind}_ap"] == 0 for kind in KINDS}
    shown = (one for number in range(len(images)) for one in read_instances(annotations[number]))
    classes = {one.category for one in shown if not one.crowd}
    metrics |= {"images": len(images), "classes": len(classes)}
    write_json(folder / "metrics.json", {split: metrics, "parameters": parameter_count(network)})
    write_json(folder / "measured.json", measured(device, speed))


def detect(network: MaskRCNN, item: Item, device: torch.device) -> list[dict[str, Any]]:
    """What is seen in one image of `EvaluationImages`, at the size of its file, as COCO's results."""
    height, width = item["image"].shape[1:]
    batch = padded([item["image"]], STRIDE, network.backbone.mean_colour).to(device)
    with torch.inference_mode():
        (seen,) = network.detections(network(batch), [(height, width)])
    return results(seen, item["id"], (height, width), item["size"])


def results(
    seen: Target, image_id: int, size: tuple[int, int], original: tuple[int, int]
) -> list[dict[str, Any]]:
    """Detections as COCO's results, each with `bbox` in pixels of the original image and an RLE of that size.

    Args:
        seen: an item of `MaskRCNN.detections`.
        size, original: height and width of the network's input without padding, and of the image.
    """
    (h, w), (H, W) = size, original
    boxes = seen["boxes"].cpu() * torch.tensor([W / w, H / h, W / w, H / h])
    masks = paste_masks_in_image(seen["masks"].cpu(), boxes, (H, W))[:, 0] > 0.5
    boxes[:, 2:] -= boxes[:, :2]
    rows = zip(boxes.tolist(), seen["labels"].tolist(), seen["scores"].tolist(), masks.numpy(), strict=True)
    return [
        {
            "image_id": image_id,
            "category_id": CATEGORY_IDS[label - 1],
            "bbox": box,
            "score": score,
            "segmentation": rle.encode(np.asfortranarray(pixels, dtype=np.uint8)),
        }
        for box, label, score, pixels in rows
    ]
