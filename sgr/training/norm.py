"""Batch norm over the images of all ranks, so that a batch may be shared among processes.

torch's own `nn.SyncBatchNorm` on a GPU; on a CPU, where that refuses to work, the same in a few lines.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from sgr import ranks


class RanksBatchNorm(_BatchNorm):
    """In training, normalises by the mean and variance of all ranks together; else it is `plain`.

    Args:
        plain: a batch norm, whose parameters and buffers it shares; timm's with dropout and activation too.
    """

    def __init__(self, plain: _BatchNorm) -> None:
        super().__init__(plain.num_features, plain.eps, plain.momentum)
        self.weight, self.bias = plain.weight, plain.bias
        self.running_mean, self.running_var = plain.running_mean, plain.running_var
        self.num_batches_tracked = plain.num_batches_tracked
        self.training = plain.training
        self.drop = getattr(plain, "drop", nn.Identity())
        self.act = getattr(plain, "act", nn.Identity())

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # (B, C, ...), however many

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape."""
        y = self._over_ranks(x) if self.training else super().forward(x)
        result: Tensor = self.act(self.drop(y))
        return result

    def _over_ranks(self, x: Tensor) -> Tensor:
        y, mean, variance, count = Normalise.apply(x, self.weight, self.bias, self.eps)
        assert self.num_batches_tracked is not None and self.momentum is not None
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_((variance * (count / (count - 1))).to(self.running_var), self.momentum)
        return y


class Normalise(Function):
    """Batch norm with the moments of all ranks, summed in float64."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        """x: (B, C, ...); weight, bias: (C,). Returns the result, mean (C,), variance (C,), biased, and count ()."""
        axes = [axis for axis in range(x.dim()) if axis != 1]
        wide = x.double()
        sums, squares = wide.sum(axes), wide.square().sum(axes)
        sums, squares, counts = ranks.total(
            torch.stack([sums, squares, torch.full_like(sums, x.numel() / len(sums))])
        )
        count = counts[0]
        mean = sums / count
        variance = (squares / count - mean.square()).clamp_min(0)
        y = F.batch_norm(x, mean.to(weight), variance.to(weight), weight, bias, eps=eps)
        ctx.axes = axes
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt(), count)
        ctx.mark_non_differentiable(mean, variance, count)
        return y, mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Of x, with what the moments of all ranks add; of weight and bias the own share, as DDP adds those up."""
        x, weight, mean, scale, count = ctx.saved_tensors
        gradient = gradients[0].to(weight.dtype)

        def along(values: Tensor) -> Tensor:
            return values.to(weight.dtype).view([1, -1] + [1] * (x.dim() - 2))

        unit = (x - along(mean)) * along(scale)
        own = torch.stack([part.sum(ctx.axes, dtype=torch.float64) for part in (gradient, gradient * unit)])
        plain, turned = ranks.total(own) / count
        of_x = (gradient - along(plain) - unit * along(turned)) * along(weight * scale)
        of_bias, of_weight = own.to(weight.dtype)
        return of_x.to(x.dtype), of_weight, of_bias, None


def synchronise(module: nn.Module) -> None:
    """Let every batch norm inside `module` look at all ranks; names and parameters stay."""
    if next(module.parameters()).is_cuda:
        convert_sync_batchnorm(module)
    else:
        _replace(module)


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, RanksBatchNorm):
            setattr(module, name, RanksBatchNorm(child))
        else:
            _replace(child)
