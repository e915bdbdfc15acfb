"""Batches of training, from any iteration on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, Dataset

from sgr import ranks
from sgr.training.batch_share import positions, share

Batch = dict[str, Any]
Collate = Callable[[list[Any]], Batch]


def batches(
    samples: Dataset[Any],
    start: int,
    size: int,
    accumulate: int,
    workers: int,
    device: torch.device,
    collate: Collate | None = None,
) -> Iterator[Batch]:
    """This rank's share of each batch of `size` images from iteration `start` on.

    Each sample is a function of its position, so neither the workers nor the ranks change what a batch holds.
    `collate` makes samples a batch; without it torch stacks them.
    """
    remaining = range(start, len(cast(Sized, samples)) // size)
    loader = DataLoader(
        samples,
        batch_size=share(size, accumulate, ranks.number()) * accumulate,
        sampler=positions(remaining, size, accumulate, ranks.rank(), ranks.number()),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # the loader draws a seed from it, and must not from the one that dropout uses
        persistent_workers=False,
    )
    return iter(loader)
