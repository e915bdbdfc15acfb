"""A network that cannot learn four images by heart is broken: the images, and the mIoU after training on them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sgr.connected import connected_components
from sgr.data.camvid import CLASSES
from sgr.evaluation.miou import confusion, summary
from sgr.generated.generate import draw
from sgr.models.network import Network
from sgr.training.loop import fit
from sgr.training.optimizer import build_optimizer, polynomial


def four_images() -> dict[str, Tensor]:
    """Generated scenes of 8 x 8 pixels, each pixel blown up to a cell: nothing is thinner than a cell."""
    scenes = [draw("camvid", (8, 8), 0, "train", number) for number in range(4)]
    images, labels = (np.stack(part).repeat(8, 1).repeat(8, 2) for part in zip(*scenes, strict=True))
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
    optimizer: str,
    learning_rate: float,
    head_multiplier: float,
    iterations: int,
    warmup: int = 0,
    gradient_clip: float = 0.0,
) -> float:
    """mIoU on the four images, pooled over pixels, after the training loop saw them `iterations` times."""
    batch = four_images()
    built = build_optimizer(
        network,
        optimizer=optimizer,
        learning_rate=learning_rate,
        head_multiplier=head_multiplier,
        momentum=0.9,
        weight_decay=1e-4,
    )
    fit(
        network,
        [batch] * iterations,
        built,
        polynomial(built, iterations, 0.9, warmup),
        weights=weights,
        start=0,
        iterations=iterations,
        accumulate=1,
        gradient_clip=gradient_clip,
        precision="fp32",
        channels_last=True,
        compiled=False,
        device=torch.device("cpu"),
        log_every=iterations,
        log=lambda row: None,
        checkpoint=lambda done: None,
        checkpoint_seconds=1e9,
        title="by heart",
    )
    with torch.inference_mode():
        predicted = network.eval().scores(network(batch["image"]), (64, 64)).argmax(1)
    miou: float = summary(confusion(predicted, batch["label"], len(CLASSES)), CLASSES)["miou"]
    print(f"{miou:.1f} mIoU")
    return miou
