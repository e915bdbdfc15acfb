"""The transfer job of one row and one seed: Mask R-CNN fine-tuned from a segmentation network or from ImageNet."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sgr import ranks
from sgr.data.coco import described
from sgr.data.manifest import check
from sgr.detection.network import build, start_from
from sgr.detection.samples import Item, TrainingImages, padded
from sgr.detection.settings import STRIDE, TransferFiles, TransferSettings
from sgr.device import memory_format, reproducible
from sgr.files import read_json
from sgr.models import weights_file
from sgr.training.batch_share import share
from sgr.training.loop import Learner, Place, Samples, fit
from sgr.training.optimizer import build_optimizer


def transfer(settings: TransferSettings, files: TransferFiles, seed: int, folder: Path) -> None:
    """Fine-tune on MS-COCO, or go on from the folder's checkpoint; `sgr.training.loop.fit` says what is written."""
    loop = settings.loop
    share(loop.batch_size, loop.accumulate, ranks.number())
    device = reproducible(seed, settings.threads)
    manifest = read_json(files.manifest)
    check(files.data, manifest)

    network = build(settings.network)
    if files.weights:
        network.backbone.body.load_state_dict(load_file(files.weights))
    if files.model:
        start_from(network, weights_file.read(files.model))
    network.to(device).to(memory_format=memory_format(loop.channels_last))
    optimizer = build_optimizer(network, settings.optimizer)
    schedule = steps(optimizer, settings.milestones, settings.warmup)
    positions = TrainingImages(
        described(files.data, manifest, settings.split),
        length=loop.iterations * loop.batch_size,
        seed=seed,
        min_sizes=settings.min_sizes,
        max_size=settings.max_size,
        flip=settings.flip,
    )
    learner = Learner(network, network.loss_weights, optimizer, schedule)
    samples = Samples(positions, partial(collate, fill=network.backbone.mean_colour))
    fit(learner, samples, loop, Place(folder, seed, files.run))


def steps(optimizer: Optimizer, milestones: Sequence[int], warmup: int) -> LambdaLR:
    """The rate divided by 10 from each milestone on, rising linearly over the first `warmup` iterations."""

    def factor(iteration: int) -> float:
        return min(1.0, (iteration + 1) / (warmup + 1)) * 0.1 ** bisect_right(milestones, iteration)

    return LambdaLR(optimizer, factor)


def collate(items: list[Item], fill: tuple[int, int, int]) -> dict[str, Tensor | list[dict[str, Tensor]]]:
    """Images of several sizes as one batch, padded with `fill`, and the list of their targets."""
    images = padded([item["image"] for item in items], STRIDE, fill)
    return {"image": images, "targets": [item["target"] for item in items]}
