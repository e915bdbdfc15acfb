"""The evaluation job of one row and one seed: single-scale and multi-scale mIoU on every split of its dataset."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from sgr import data
from sgr.data.manifest import check
from sgr.device import measured, reproducible
from sgr.evaluation.inference import single_and_multi_scale
from sgr.evaluation.miou import confusion, summary
from sgr.evaluation.trained_network import evaluation_loader, trained_network
from sgr.files import read_json, write_json
from sgr.models.network import parameter_count


def evaluate(spec: dict[str, Any], where: dict[str, Any], folder: Path) -> list[str]:
    """Write metrics.json: {split: {miou_ss, miou_ms, pixel_accuracy_ss, ..., iou_ss: {class: ...}, ...}}.

    Args:
        spec: `plan` (the row's plan entry), `seed`, and the key of the training job.
        where: `data`, `manifest`, `model` (weights), `loader_workers`.
        folder: the job's own.
    """
    plan = spec["plan"]
    device = reproducible(spec["seed"], plan["threads"])
    manifest = read_json(where["manifest"])
    check(Path(where["data"]), manifest)
    network = trained_network(plan, where["model"], device)
    names = data.dataset(plan["dataset"]).CLASSES
    inference = plan["inference"]
    metrics: dict[str, Any] = {}
    began, images = time.monotonic(), 0
    for split in plan["splits"]:
        matrices = {kind: torch.zeros(len(names), len(names), dtype=torch.int64) for kind in ("ss", "ms")}
        total = len(manifest["splits"][split])
        title = f"{plan['row']} seed {spec['seed']} on {split}"
        loader = evaluation_loader(plan, where, manifest, split)
        for _, image, label in tqdm(loader, desc=title, total=total, unit="image", mininterval=1):
            single, multi = single_and_multi_scale(
                network,
                image.to(device),
                (label.shape[1], label.shape[2]),
                resize=plan["resize"],
                scales=inference["scales"],
                flip=inference["flip"],
            )
            matrices["ss"] += confusion(single.cpu(), label, len(names))
            matrices["ms"] += confusion(multi.cpu(), label, len(names))
            images += 1
        metrics[split] = {
            f"{name}_{kind}": value
            for kind, matrix in matrices.items()
            for name, value in summary(matrix, names).items()
        }
    write_json(folder / "metrics.json", metrics | {"parameters": parameter_count(network)})
    write_json(folder / "measured.json", measured(device, images / (time.monotonic() - began)))
    return ["metrics.json"]
