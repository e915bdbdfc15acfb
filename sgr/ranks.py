"""Sums over the ranks of a training job: all that a loss knows of other processes. Alone, each is the identity.

A rank is one process of a job, with its own share of every batch. A loss divides its sum by `divisor(count)`: its mean
over the ranks, which is what DistributedDataParallel makes of the gradients, is then the loss of the whole batch.
Every rank must call these functions in the same order, with tensors of the same shape.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def number() -> int:
    """How many ranks there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which one this process is, from 0; the first alone writes files."""
    return dist.get_rank() if number() > 1 else 0


def total(x: Tensor) -> Tensor:
    """Sum over the ranks, without a gradient."""
    return x if number() == 1 else _reduced(x, dist.ReduceOp.SUM)


def largest(x: Tensor) -> Tensor:
    """Element-wise maximum over the ranks, without a gradient."""
    return x if number() == 1 else _reduced(x, dist.ReduceOp.MAX)


def mean(x: Tensor) -> Tensor:
    """Mean over the ranks, without a gradient."""
    return x if number() == 1 else total(x) / number()


def divisor(count: Tensor) -> Tensor:
    """What to divide a sum over this rank's items by: the items of all ranks, at least one, over the ranks."""
    return count.clamp_min(1) if number() == 1 else total(count).clamp_min(1) / number()


def agreed(asked: int) -> int:
    """The largest number that any rank asks for; it does not wait for a GPU."""
    return asked if number() == 1 else int(largest(torch.tensor(int(asked))))


def of_first(value: Any) -> Any:
    """What rank 0 gives, whatever the others do."""
    given = [value]
    if number() > 1:
        dist.broadcast_object_list(given)
    return given[0]


def gathered(value: Any) -> list[Any]:
    """The values of all ranks, in order, for rank 0; to the others nothing."""
    if number() == 1:
        return [value]
    values: list[Any] | None = [None] * number() if rank() == 0 else None
    dist.gather_object(value, values)
    return values or []


def _reduced(x: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    result = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(result, operation)
    return result
