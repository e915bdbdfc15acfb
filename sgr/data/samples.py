"""Torch datasets: training crops, each a function of seed and position alone, and whole images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from sgr.data.augment import training_crop
from sgr.data.component_archive import ComponentArchive
from sgr.data.files import Bytes, Sample, read_image
from sgr.data.sample_order import Order
from sgr.errors import UserError

ReadLabel = Callable[[Path], Bytes]


class TrainingSamples(Dataset[dict[str, torch.Tensor]]):
    """Crops by position in training: epoch * number of samples + slot, each epoch a new permutation."""

    def __init__(
        self,
        samples: Sequence[Sample],
        read_label: ReadLabel,
        archive: ComponentArchive | None,
        *,
        length: int,
        seed: int,
        crop: tuple[int, int],
        scale: tuple[float, float] = (0.5, 2.0),
        flip: bool = True,
        jitter: float = 0.0,
        fill: tuple[int, int, int] = (124, 116, 104),
    ) -> None:
        """Arguments as in training_crop, and:

        archive: the components of the samples; None gives maps of zeros.
        length: number of positions, iterations x batch size.
        seed: non-negative; with the position it decides sample and augmentation, whoever loads it.

        Raises UserError if there are no samples.
        """
        if not samples:
            raise UserError("there are no training samples: the manifest's split is empty")
        self.samples, self.read_label, self.archive = list(samples), read_label, archive
        self.length = length
        self.crop, self.scale, self.flip, self.jitter, self.fill = crop, scale, flip, jitter, fill
        self._order = Order(len(self.samples), seed)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        """{"image": (3, h, w) uint8, "label": (h, w) uint8 train ids, "components": (h, w) int16}."""
        if not 0 <= position < self.length:
            raise IndexError(position)
        index, rng = self._order.at(position)
        sample = self.samples[index]
        image, label = _load(sample, self.read_label)
        components = (
            np.zeros_like(label, dtype=np.int16) if self.archive is None else self.archive.read(sample.id)
        )
        if components.shape != label.shape:
            raise UserError(f"the components of {sample.id} have another size than {sample.label}")
        crops = training_crop(
            image, label, components, rng, self.crop, self.scale, self.flip, self.jitter, self.fill
        )
        return {
            "image": channels_first(crops[0]),
            "label": torch.from_numpy(crops[1]),
            "components": torch.from_numpy(crops[2]),
        }


class EvaluationSamples(Dataset[dict[str, Any]]):
    """Whole images in the order of the samples, of whatever sizes they have: for batches of one."""

    def __init__(self, samples: Sequence[Sample], read_label: ReadLabel) -> None:
        self.samples, self.read_label = list(samples), read_label

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """{"image": (3, H, W) uint8, "label": (H, W) uint8 train ids, "id": str}."""
        sample = self.samples[index]
        image, label = _load(sample, self.read_label)
        return {"image": channels_first(image), "label": torch.from_numpy(label), "id": sample.id}


def _load(sample: Sample, read_label: ReadLabel) -> tuple[Bytes, Bytes]:
    image, label = read_image(sample.image), read_label(sample.label)
    if image.shape[:2] != label.shape:
        raise UserError(f"{sample.image} and its label map {sample.label} have different sizes")
    return image, label


def channels_first(image: Bytes) -> torch.Tensor:
    """(H, W, 3) -> (3, H, W)."""
    # numpy, as torch would wake its threads for this small copy, in every worker.
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
