"""Checkpoints that are whole or absent, and hold all that an exact resume needs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sgr.files import write_bytes


def save(
    path: Path,
    network: nn.Module,
    optimizer: Optimizer,
    schedule: LRScheduler,
    iteration: int,
    curve: list[dict[str, float]],
) -> None:
    """Write the state after `iteration` iterations: aside, fsynced, renamed."""
    state: dict[str, Any] = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "iteration": iteration,
        "curve": curve,
        "rng": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda_rng"] = torch.cuda.get_rng_state()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def resume(
    path: Path, network: nn.Module, optimizer: Optimizer, schedule: LRScheduler
) -> tuple[int, list[dict[str, float]]]:
    """Restore what `save` wrote; without a file, (0, []). Returns the next iteration and the curve so far."""
    if not path.exists():
        return 0, []
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["rng"])
    if "cuda_rng" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda_rng"])
    return state["iteration"], state["curve"]
