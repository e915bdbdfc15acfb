"""Training crops, each a function of seed and position alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from sgr.data.augment import training_crop
from sgr.data.component_archive import ComponentArchive
from sgr.data.files import Sample
from sgr.data.sample_order import Order
from sgr.data.samples import ReadLabel, channels_first, load
from sgr.errors import UserError


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
        image, label = load(sample, self.read_label)
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
