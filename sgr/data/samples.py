"""Whole images with their label maps, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from sgr.data.files import Bytes, Sample, check_sizes, read_image

ReadLabel = Callable[[Path], Bytes]


class EvaluationSamples(Dataset[dict[str, Any]]):
    """Whole images in the order of the samples, of whatever sizes they have: for batches of one."""

    def __init__(self, samples: Sequence[Sample], read_label: ReadLabel) -> None:
        self.samples, self.read_label = list(samples), read_label

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """{"image": (3, H, W) uint8, "label": (H, W) uint8 train ids, "id": str}."""
        sample = self.samples[index]
        image, label = load(sample, self.read_label)
        return {"image": channels_first(image), "label": torch.from_numpy(label), "id": sample.id}


def load(sample: Sample, read_label: ReadLabel) -> tuple[Bytes, Bytes]:
    """Image (H, W, 3) and train ids (H, W). Raises UserError if a file is broken or their sizes differ."""
    image, label = read_image(sample.image), read_label(sample.label)
    check_sizes(sample, image, label)
    return image, label


def channels_first(image: Bytes) -> torch.Tensor:
    """(H, W, 3) -> (3, H, W)."""
    # numpy, as torch would wake its threads for this small copy, in every worker.
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
