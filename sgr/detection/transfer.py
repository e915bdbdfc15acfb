"""The transfer job of one row and one seed: Mask R-CNN fine-tuned from a segmentation network or from ImageNet."""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sgr import ranks
from sgr.data.coco import CLASSES, Annotations
from sgr.data.manifest import check
from sgr.detection.network import STRIDE, build, start_from
from sgr.detection.samples import Item, TrainingImages, padded
from sgr.device import memory_format, reproducible
from sgr.files import read_json
from sgr.training.batch_share import share
from sgr.training.learn import learn
from sgr.training.optimizer import build_optimizer


def transfer(spec: dict[str, Any], where: dict[str, Any], folder: Path) -> list[str]:
    """Fine-tune on MS-COCO, or go on from the folder's checkpoint. All ranks of a job call it; the first alone writes.

    Args:
        spec: `plan` (the row's plan entry), `seed`, what the network starts from, and the hash of the manifest.
        where: `data`, `manifest`, `loader_workers`, `checkpoint_seconds`, and the file the network starts from:
            `weights` of a backbone, `model` of a segmentation network; both None for random weights.
        folder: the job's own.

    Returns:
        The names of what it wrote: model.safetensors, curve.csv.
    """
    plan, seed = spec["plan"], spec["seed"]
    settings = plan["training"]
    share(settings["batch_size"], settings["accumulate"], ranks.number())
    device = reproducible(seed, plan["threads"])
    check(Path(where["data"]), read_json(where["manifest"]))

    network = build(**plan["network"], classes=len(CLASSES))
    if where["weights"]:
        network.backbone.body.load_state_dict(load_file(where["weights"]))
    if where["model"]:
        start_from(network, load_file(where["model"]))
    network.to(device).to(memory_format=memory_format(settings["channels_last"]))
    names = ("learning_rate", "head_multiplier", "momentum", "weight_decay")
    optimizer = build_optimizer(network, optimizer="sgd", **{name: settings[name] for name in names})
    schedule = steps(optimizer, settings["milestones"], settings["warmup"])
    positions = TrainingImages(
        Annotations(where["data"], plan["split"]),
        length=settings["iterations"] * settings["batch_size"],
        seed=seed,
        min_sizes=plan["min_sizes"],
        max_size=plan["max_size"],
        flip=plan["flip"],
    )
    return learn(
        network,
        network.loss_weights,
        optimizer,
        schedule,
        positions,
        # boxes decoded in bf16 would be whole pixels off
        settings | {"precision": "fp32", "compile": False},
        seed,
        where,
        folder,
        f"{plan['row']} seed {seed}",
        partial(collate, fill=network.backbone.mean_colour),
    )


def steps(optimizer: Optimizer, milestones: list[int], warmup: int) -> LambdaLR:
    """The rate divided by 10 from each milestone on, rising linearly over the first `warmup` iterations."""

    def factor(iteration: int) -> float:
        return min(1.0, (iteration + 1) / (warmup + 1)) * 0.1 ** bisect_right(milestones, iteration)

    return LambdaLR(optimizer, factor)


def collate(items: list[Item], fill: tuple[int, int, int]) -> dict[str, Tensor | list[dict[str, Tensor]]]:
    """Images of several sizes as one batch, padded with `fill`, and the list of their targets."""
    images = padded([item["image"] for item in items], STRIDE, fill)
    return {"image": images, "targets": [item["target"] for item in items]}
