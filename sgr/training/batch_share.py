"""The share of a rank in every batch: a function of positions alone, so that all ranks together see what one would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sgr.errors import UserError


def share(batch_size: int, accumulate: int, ranks: int) -> int:
    """Images of each rank in each of the `accumulate` parts of a batch.

    Raises UserError where they would not be the same for all.
    """
    if batch_size % (ranks * accumulate):
        raise UserError(
            f"batch_size = {batch_size} must be a multiple of ranks x accumulate = {ranks} x {accumulate}: set "
            "slurm.gpus_per_job in cluster.yaml"
        )
    return batch_size // (ranks * accumulate)


def positions(
    batches: Iterable[int], batch_size: int, accumulate: int, rank: int, ranks: int
) -> Iterator[int]:
    """Positions in training that a rank loads of these batches, in order: a run of each part of each batch."""
    images = share(batch_size, accumulate, ranks)
    for batch in batches:
        for part in range(accumulate):
            first = batch * batch_size + (part * ranks + rank) * images
            yield from range(first, first + images)
