"""Optimizers and the schedule of section 5.2."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sgr.training.settings import OptimizerSettings


def build_optimizer(network: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """SGD or AdamW; everything outside the backbone learns at `head_multiplier` times the rate (10 in the paper)."""
    rate = settings.learning_rate
    backbone = [
        p for name, p in network.named_parameters() if p.requires_grad and name.startswith("backbone.")
    ]
    others = [
        p for name, p in network.named_parameters() if p.requires_grad and not name.startswith("backbone.")
    ]
    groups = [
        {"params": backbone, "lr": rate},
        {"params": others, "lr": rate * settings.head_multiplier},
    ]
    if settings.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=settings.momentum, weight_decay=settings.weight_decay)
    return AdamW(groups, lr=rate, weight_decay=settings.weight_decay)


def polynomial(optimizer: Optimizer, iterations: int, power: float, warmup: int) -> LambdaLR:
    """Rate times (1 - iteration / iterations) ** power, rising linearly over the first `warmup` iterations."""

    def factor(iteration: int) -> float:
        return min(1.0, (iteration + 1) / (warmup + 1)) * (1 - iteration / iterations) ** power

    return LambdaLR(optimizer, factor)
