"""Checkpoints that know their own SHA-256, and hold all that an exact resume needs.

A checkpoint is a line with the digest of what follows, then what torch.save makes. The one before it stays beside it:
where the newest is damaged, the training goes on from that.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sgr import ranks
from sgr.files import open_aside

NAMES = ("checkpoint.pt", "checkpoint.previous.pt")  # the newest first


class Reached(NamedTuple):
    """Where a run is: iterations done, its curve, and the sums of this rank's losses since the last row of it."""

    iteration: int
    curve: list[dict[str, float]]
    sums: dict[str, Tensor]


class DamagedError(Exception):
    """What is wrong with a checkpoint, as it goes on after its name."""


def save(
    folder: Path,
    network: nn.Module,
    optimizer: Optimizer,
    schedule: LRScheduler,
    iteration: int,
    curve: list[dict[str, float]],
    sums: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the state after `iteration` iterations: aside, fsynced, renamed. All ranks call it, the first writes.

    The last checkpoint becomes the previous one before that, so that there are two files at most, and always a whole
    one.
    """
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
    newest, previous = (folder / name for name in NAMES)
    if newest.exists():
        os.replace(newest, previous)
    with open_aside(newest) as file:
        file.write(_digest(buffer.getbuffer()) + b"\n")
        file.write(buffer.getbuffer())


def resume(
    folder: Path, network: nn.Module, optimizer: Optimizer, schedule: LRScheduler, iterations: int
) -> Reached:
    """Restore what `save` wrote last and is whole, as rank 0 finds it; without any, nothing is done yet.

    A checkpoint that is damaged, of another network or of no iteration of the schedule is removed, which one printed
    sentence says.

    On as many ranks as wrote it, each goes on with its own generator: on a CPU with the same bits. On another number
    the same samples follow at the same rates, but new ranks draw dropout and points from generators of their own.
    """
    found = _newest(folder, network, optimizer, iterations) if ranks.rank() == 0 else None
    content = ranks.of_first(found)
    if content is None:
        return Reached(0, [], {})
    state = _load(content)
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


def remove(folder: Path) -> None:
    """Remove the checkpoints of a training that has ended."""
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)


def _newest(folder: Path, network: nn.Module, optimizer: Optimizer, iterations: int) -> bytes | None:
    """What is in the newest checkpoint that this training can go on from; those newer than it are removed."""
    complaints, goes_on = [], "the training starts anew"
    content = None
    for path in (folder / name for name in NAMES):
        if not path.exists():
            continue
        try:
            content = _whole(path)
            iteration = _fitting(content, network, optimizer, iterations)
        except DamagedError as error:
            content = None
            complaints.append(f"{path} {error}")
            path.unlink()
            continue
        goes_on = f"the training goes on from {path.name}, after iteration {iteration}"
        break
    if complaints:
        print(f"{' and '.join(complaints)}: {goes_on}", flush=True)
    return content


def _whole(path: Path) -> bytes:
    digest, _, content = path.read_bytes().partition(b"\n")
    if digest != _digest(content):
        raise DamagedError("is damaged (its SHA-256 is another)")
    return content


def _fitting(content: bytes, network: nn.Module, optimizer: Optimizer, iterations: int) -> int:
    """The iteration of a checkpoint, which must be one of this training."""
    state = _load(content)
    if not 1 <= state["iteration"] <= iterations:
        raise DamagedError(f"is of iteration {state['iteration']} of {iterations}")
    shapes, own = (_shapes(tensors) for tensors in (state["network"], network.state_dict()))
    if name := next((name for name in {**own, **shapes} if shapes.get(name) != own.get(name)), None):
        raise DamagedError(f"is of another network (see {name})")
    if _groups(state["optimizer"]) != _groups(optimizer.state_dict()):
        raise DamagedError("is of another optimizer")
    iteration: int = state["iteration"]
    return iteration


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}


def _groups(state: Mapping[str, Any]) -> list[tuple[set[str], list[int]]]:
    """Which parameters an optimizer has in its groups, and the names of its settings."""
    return [(set(group), group["params"]) for group in state["param_groups"]]


def _load(content: bytes) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def _digest(content: bytes | memoryview) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
