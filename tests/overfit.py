"""A network that cannot learn four images by heart is broken: the images, and the mIoU after training on them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sgr.connected import connected_components
from sgr.datasets import describe
from sgr.evaluation.miou import confusion, summary
from sgr.generated.generate import draw
from sgr.models.network import Network
from sgr.training.loop import Learner, Place, Samples, fit
from sgr.training.optimizer import build_optimizer, polynomial
from sgr.training.settings import LoopSettings, OptimizerSettings, Run

CLASSES = describe("camvid").classes


def four_images() -> dict[str, Tensor]:
    """Generated scenes of 8 x 8 pixels, each pixel blown up to a cell: nothing is thinner than a cell."""
    scenes = [draw("camvid", (8, 8), 0, "train", number) for number in range(4)]
    images, labels = (
        np.stack([getattr(scene, part) for scene in scenes]).repeat(8, 1).repeat(8, 2)
        for part in ("image", "label")
    )
    components = np.stack([connected_components(label) for label in labels]).astype(np.int16)
    return {
        "image": torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        "label": torch.from_numpy(labels),
        "components": torch.from_numpy(components),
    }


def miou_by_heart(
    network: Network,
    weights: dict[str, float],
    *,
    optimizer: Literal["sgd", "adamw"],
    learning_rate: float,
    head_multiplier: float,
    iterations: int,
    warmup: int = 0,
    gradient_clip: float = 0.0,
) -> float:
    """mIoU on the four images, pooled over pixels, after the training loop saw them `iterations` times."""
    chosen = OptimizerSettings(optimizer, learning_rate, head_multiplier, momentum=0.9, weight_decay=1e-4)
    built = build_optimizer(network, chosen)
    learner = Learner(network, weights, built, polynomial(built, iterations, 0.9, warmup))
    with tempfile.TemporaryDirectory() as folder:
        by_heart(learner, iterations, Path(folder), gradient_clip=gradient_clip)
    return miou(network)


def by_heart(
    learner: Learner,
    iterations: int,
    folder: Path,
    *,
    gradient_clip: float = 0.0,
    checkpoint_seconds: float = 1e9,
    stop_after: int | None = None,
) -> None:
    """Let the training loop see the four images `iterations` times, from the folder's checkpoint on if it has one."""
    settings = LoopSettings(
        iterations=iterations,
        batch_size=4,
        accumulate=1,
        gradient_clip=gradient_clip,
        precision="fp32",
        channels_last=True,
        compile=False,
        log_every=iterations,
    )
    run = Run("by heart", loader_workers=0, checkpoint_seconds=checkpoint_seconds, stop_after=stop_after)
    fit(learner, Samples(FourImages(iterations)), settings, Place(folder, 0, run))


def miou(network: Network) -> float:
    """Of the four images, pooled over pixels."""
    batch = four_images()
    with torch.inference_mode():
        predicted = network.eval().scores(network(batch["image"]), (64, 64)).argmax(1)
    found: float = summary(confusion(predicted, batch["label"], len(CLASSES)), CLASSES)["miou"]
    print(f"{found:.1f} mIoU")
    return found


class FourImages(Dataset[dict[str, Tensor]]):
    """The four images, `times` times over."""

    def __init__(self, times: int) -> None:
        self.batch, self.times = four_images(), times

    def __len__(self) -> int:
        return 4 * self.times

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        return {name: tensor[position % 4] for name, tensor in self.batch.items()}
