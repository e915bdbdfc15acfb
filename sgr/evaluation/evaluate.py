"""The evaluation job of one row and one seed: single-scale and multi-scale mIoU on every split of its dataset."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from sgr.data.manifest import check
from sgr.device import measured, reproducible
from sgr.evaluation.inference import single_and_multi_scale
from sgr.evaluation.miou import confusion, labelled, summary
from sgr.evaluation.settings import EvaluateSettings, EvaluationFiles
from sgr.evaluation.trained_network import evaluation_loader, trained_network
from sgr.files import read_json, write_json
from sgr.models.network import parameter_count


def evaluate(settings: EvaluateSettings, files: EvaluationFiles, seed: int, folder: Path) -> None:
    """Write metrics.json: {split: {miou_ss, miou_ms, pixel_accuracy_ss, ..., iou_ss: {class: ...}}, parameters}.

    A split's `images` and `classes` are those that were seen; `majority_miou` is what a network must beat, and
    `collapsed_ss` and `collapsed_ms` tell one that predicts a single class; see `sgr.evaluation.miou`.
    """
    seen, names = settings.seen, settings.classes
    device = reproducible(seed, seen.threads)
    manifest = read_json(files.manifest)
    check(files.data, manifest)
    network = trained_network(seen, files, device)
    metrics: dict[str, Any] = {}
    began, images = time.monotonic(), 0
    for split in settings.splits:
        matrices = {kind: torch.zeros(len(names), len(names), dtype=torch.int64) for kind in ("ss", "ms")}
        total = len(manifest["splits"][split])
        loader = evaluation_loader(seen, files, manifest, split)
        title = f"{files.title} on {split}"
        for _, image, label in tqdm(loader, desc=title, total=total, unit="image", mininterval=1):
            single, multi = single_and_multi_scale(
                network,
                image.to(device),
                (label.shape[1], label.shape[2]),
                resize=seen.resize,
                scales=settings.inference.scales,
                flip=settings.inference.flip,
            )
            matrices["ss"] += confusion(single.cpu(), label, len(names))
            matrices["ms"] += confusion(multi.cpu(), label, len(names))
            images += 1
        metrics[split] = {
            f"{name}_{kind}": value
            for kind, matrix in matrices.items()
            for name, value in summary(matrix, names).items()
        }
        metrics[split] |= {"images": total, **labelled(matrices["ss"])}
    write_json(folder / "metrics.json", metrics | {"parameters": parameter_count(network)})
    write_json(folder / "measured.json", measured(device, images / (time.monotonic() - began)))
