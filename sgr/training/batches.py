"""Batches of training, from any iteration on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sgr import ranks
from sgr.data.samples import TrainingSamples
from sgr.training.share import positions, share

Batch = dict[str, Tensor]


def batches(
    samples: TrainingSamples, start: int, size: int, accumulate: int, workers: int, device: torch.device
) -> Iterator[Batch]:
    """This rank's share of each batch of `size` images from iteration `start` on.

    Each sample is a function of its position, so neither the workers nor the ranks change what a batch holds.
    """
    remaining = range(start, len(samples) // size)
    loader = DataLoader(
        samples,
        batch_size=share(size, accumulate, ranks.number()) * accumulate,
        sampler=positions(remaining, size, accumulate, ranks.rank(), ranks.number()),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # the loader draws a seed from it, and must not from the one that dropout uses
        persistent_workers=False,
    )
    return iter(loader)
