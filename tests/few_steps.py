"""A few iterations of the training loop on one batch, and networks small enough for it."""

from __future__ import annotations

import csv
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer
from torch.utils.data import Dataset

from sgr.models.heads.pixels import OfLastMap, PixelHead
from sgr.models.network import Network, build
from sgr.training.loop import Learner, Place, Samples, fit
from sgr.training.optimizer import polynomial
from sgr.training.settings import LoopSettings, Run
from tests import tiny_row

Batch = dict[str, Tensor]
CLASSES = 11


def example(B: int, size: tuple[int, int] = (32, 40), every_pixel: bool = False) -> Batch:
    """Images, labels and components, random but of blocks; some labels ignored, unless `every_pixel` has one."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (B, 3, *size), dtype=torch.uint8, generator=generator)
    blocks = torch.randint(0, 12, (B, 1, 4, 5), generator=generator).float()
    labels = F.interpolate(blocks, size)[:, 0].to(torch.uint8)
    labels[labels == CLASSES] = CLASSES - 1 if every_pixel else 255
    components = F.interpolate(torch.arange(20).remainder(7).view(1, 1, 4, 5).float(), size)[:, 0]
    return {
        "image": images,
        "label": labels,
        "components": components.expand(B, *size).to(torch.int16),
    }


def network_of(row: str) -> Network:
    """The network of a tiny row with its concept loss, for the classes of `example`, seeded."""
    torch.manual_seed(0)
    settings = tiny_row.training(row)
    return build(replace(settings.network, classes=CLASSES), settings.concept_loss)


def without_dropout(row: str) -> Network:
    """The same, which leaves nothing out."""
    network = network_of(row)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


class Cells(nn.Module):
    """A backbone of one convolution and no batch norm."""

    def __init__(self, stride: int = 8) -> None:
        super().__init__()
        self.stride, self.channels = stride, [6]
        self.conv = nn.Conv2d(3, 6, stride, stride)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.conv(images / 255)]


def network_of_cells() -> Network:
    """One convolution and a linear classifier, seeded."""
    torch.manual_seed(0)
    return Network(Cells(), None, PixelHead(OfLastMap(), nn.Conv2d(6, CLASSES, 1)), None)  # type: ignore[arg-type]


class Repeated(Dataset[Batch]):
    """The images of one batch, again and again."""

    def __init__(self, batch: Batch, times: int) -> None:
        self.batch, self.times, self.size = batch, times, len(batch["image"])

    def __len__(self) -> int:
        return self.times * self.size

    def __getitem__(self, position: int) -> Batch:
        return {name: values[position % self.size] for name, values in self.batch.items()}


def fit_few(
    network: Network,
    batch: Batch,
    iterations: int = 1,
    optimizer: Optimizer | None = None,
    checkpoint_seconds: float = 1e9,
    **changes: Any,
) -> list[dict[str, float]]:
    """The rows of the curve that `fit` logs over so many iterations of the batch, every loss with weight 1.

    Args:
        optimizer: SGD at a rate of 0.01 if not given; the rate falls to zero.
        changes: of the loop's settings.
    """
    named = network.losses(network.eval()(batch["image"]), batch["label"], batch["components"])
    optimizer = optimizer or SGD(network.parameters(), lr=0.01)
    schedule = polynomial(optimizer, iterations, 0.9, 0)
    plain = LoopSettings(
        iterations=iterations,
        batch_size=len(batch["image"]),
        accumulate=1,
        gradient_clip=0.0,
        precision="fp32",
        channels_last=False,
        compile=False,
        log_every=1,
    )
    learner = Learner(network, dict.fromkeys(named, 1.0), optimizer, schedule)
    run = Run("test", loader_workers=0, checkpoint_seconds=checkpoint_seconds)
    with tempfile.TemporaryDirectory() as folder:
        fit(
            learner,
            Samples(Repeated(batch, iterations)),
            replace(plain, **changes),
            Place(Path(folder), 0, run),
        )
        return curve(Path(folder))


def curve(folder: Path) -> list[dict[str, float]]:
    """The loss curve that a training left in its folder."""
    with open(folder / "curve.csv") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def gradients_of_one_step(network: Network, batch: Batch, accumulate: int) -> list[Tensor]:
    """What one iteration leaves in every parameter, at a rate of zero."""
    fit_few(network, batch, optimizer=SGD(network.parameters(), lr=0.0), accumulate=accumulate)
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
