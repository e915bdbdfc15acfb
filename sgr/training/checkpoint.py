"""Checkpoints that are whole or absent, and hold all that an exact resume needs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sgr import ranks
from sgr.files import write_bytes


class Reached(NamedTuple):
    """Where a run is: iterations done, its curve, and the sums of this rank's losses since the last row of it."""

    iteration: int
    curve: list[dict[str, float]]
    sums: dict[str, Tensor]


def save(
    path: Path,
    network: nn.Module,
    optimizer: Optimizer,
    schedule: LRScheduler,
    iteration: int,
    curve: list[dict[str, float]],
    sums: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the state after `iteration` iterations: aside, fsynced, renamed. All ranks call it, the first writes."""
    own: dict[str, Any] = {
        "rng": torch.get_rng_state(),
        "sums": {name: value.cpu() for name, value in (sums or {}).items()},
    }
    if torch.cuda.is_available():
        own["cuda_rng"] = torch.cuda.get_rng_state()
    each = ranks.gathered(own)
    if ranks.rank() > 0:
        return
    state: dict[str, Any] = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "iteration": iteration,
        "curve": curve,
        "ranks": each,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def resume(path: Path, network: nn.Module, optimizer: Optimizer, schedule: LRScheduler) -> Reached:
    """Restore what `save` wrote, as rank 0 finds it; without a file nothing is done yet.

    On as many ranks as wrote it, each goes on with its own generator: on a CPU with the same bits. On another number
    the same samples follow at the same rates, but new ranks draw dropout and points from generators of their own.
    """
    content = ranks.of_first(path.read_bytes() if ranks.rank() == 0 and path.exists() else None)
    if content is None:
        return Reached(0, [], {})
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    each = state["ranks"]
    if ranks.rank() < len(each):
        own = each[ranks.rank()]
        torch.set_rng_state(own["rng"])
        if "cuda_rng" in own and torch.cuda.is_available():
            torch.cuda.set_rng_state(own["cuda_rng"])
    if ranks.number() == len(each):
        sums = own["sums"]
    else:  # the mean over the ranks is what the curve tells
        sums = {name: sum(other["sums"][name] for other in each) / len(each) for name in each[0]["sums"]}
    return Reached(state["iteration"], state["curve"], sums)
