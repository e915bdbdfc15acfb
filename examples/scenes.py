"""Images and labels for the examples: generated street scenes, or CamVid from a folder; and how well a network does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

CLASSES, IGNORED = 11, 255
SIZE = 96, 128  # height, width


def scenes(split: str, number: int, folder: Path | None = None) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) in about -2..2 and labels (B, H, W) of the first `number` of a split, at SIZE.

    folder: with train/, trainannot/, val/ and valannot/, as CamVid ships; without it scenes are generated.
    """
    pairs = [_read(*files) for files in _files(folder, split)[:number]] if folder else _draw(split, number)
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
    labels = torch.from_numpy(np.stack([label for _, label in pairs])).long()
    return (images.float() / 255 - 0.45) / 0.23, labels.where(labels < CLASSES, IGNORED)


def batches(
    images: Tensor, labels: Tensor, iterations: int, size: int = 8
) -> Iterator[tuple[Tensor, Tensor]]:
    """Random batches, half of the images mirrored."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(iterations):
        chosen = torch.randperm(len(images), generator=generator)[:size]
        mirror = [-1] if torch.rand(1, generator=generator) < 0.5 else []
        yield images[chosen].flip(mirror), labels[chosen].flip(mirror)


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> str:
    """Share of the pixels that are right, and mean IoU of the classes; a network gives scores (B, M, H, W) first."""
    predicted = torch.cat([network(part)[0].argmax(1) for part in images.split(8)])
    known = labels != IGNORED
    pairs = torch.bincount(labels[known] * CLASSES + predicted[known], minlength=CLASSES**2)
    confusion = pairs.view(CLASSES, CLASSES).double()
    union = confusion.sum(0) + confusion.sum(1) - confusion.diag()
    iou = (confusion.diag() / union)[union > 0].mean()
    return f"pixels {confusion.diag().sum() / confusion.sum():.1%}, mIoU {iou:.1%}"


def _draw(split: str, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sgr.generated.generate import draw

    drawn = (draw("camvid", SIZE, 0, split, one) for one in range(number))
    return [(scene.image, scene.label) for scene in drawn]


def _files(folder: Path, split: str) -> list[tuple[Path, Path]]:
    return [(file, folder / f"{split}annot" / file.name) for file in sorted((folder / split).glob("*.png"))]


def _read(image: Path, label: Path) -> tuple[np.ndarray, np.ndarray]:
    size = SIZE[::-1]
    pixels = Image.open(image).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    return np.asarray(pixels), np.asarray(Image.open(label).resize(size, Image.Resampling.NEAREST))
