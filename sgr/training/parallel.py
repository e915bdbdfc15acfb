"""One network on all ranks: the same parameters everywhere, gradients averaged while backward runs."""

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from sgr import ranks
from sgr.training.norm import synchronise


def parallel(network: nn.Module) -> nn.Module:
    """The network as all ranks call it: in DistributedDataParallel, its batch norms over all of them.

    Alone, the network itself. Buffers need no broadcast: batch norm and prototypes are computed alike everywhere.
    """
    if ranks.number() == 1:
        return network
    synchronise(network)
    wrapped = DistributedDataParallel(network, forward_sync_buffers=False)
    if not next(network.parameters()).is_cuda:
        wrapped.register_comm_hook(None, _in_order)
    return wrapped


def averaging(wrapped: nn.Module, now: bool) -> AbstractContextManager[None]:
    """For a forward and a backward: whether gradients are averaged over ranks, or wait for the next part."""
    if now or ranks.number() == 1:
        return nullcontext()
    return cast(DistributedDataParallel, wrapped).no_sync()


# DDP compares these annotations with its own, so they cannot be strings
def _in_order(state: None, bucket: dist.GradBucket) -> Future[Tensor]:  # type: ignore[name-defined]
    # gloo adds up in an order that depends on where in a bucket an element lies, and buckets change after the first
    # iteration: a resumed run of three ranks or more would then differ in the last bit
    own = bucket.buffer()
    parts = [torch.empty_like(own) for _ in range(ranks.number())]
    future = dist.all_gather(parts, own, async_op=True).get_future()
    return future.then(lambda _: torch.stack(parts).sum(0).div_(len(parts)))
