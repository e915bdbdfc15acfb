"""Optimizers and the schedule of section 5.2."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR


def build_optimizer(
    network: nn.Module,
    *,
    optimizer: str,
    learning_rate: float,
    head_multiplier: float,
    momentum: float,
    weight_decay: float,
) -> Optimizer:
    """SGD or AdamW; everything outside the backbone learns at `head_multiplier` times the rate (10 in the paper)."""
    backbone = [
        p for name, p in network.named_parameters() if p.requires_grad and name.startswith("backbone.")
    ]
    others = [
        p for name, p in network.named_parameters() if p.requires_grad and not name.startswith("backbone.")
    ]
    groups = [
        {"params": backbone, "lr": learning_rate},
        {"params": others, "lr": learning_rate * head_multiplier},
    ]
    if optimizer == "sgd":
        return SGD(groups, lr=learning_rate, momentum=momentum, weight_decay=weight_decay)
    return AdamW(groups, lr=learning_rate, weight_decay=weight_decay)


def polynomial(optimizer: Optimizer, iterations: int, power: float, warmup: int) -> LambdaLR:
    """Rate times (1 - iteration / iterations) ** power, rising linearly over the first `warmup` iterations."""

    def factor(iteration: int) -> float:
        return min(1.0, (iteration + 1) / (warmup + 1)) * (1 - iteration / iterations) ** power

    return LambdaLR(optimizer, factor)
