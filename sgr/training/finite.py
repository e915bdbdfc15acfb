"""Whether losses, gradients and weights stay finite: noted on the device at each iteration, read when it is free."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sgr import ranks
from sgr.errors import UserError


class Finite:
    """Remembers the first iteration at which each of an iteration's numbers was not finite.

    On the device that is the number of iterations that were still to come, 0 if all is well: the largest of several,
    over iterations as over ranks, is the first.

    Args:
        iterations: of the whole training.
    """

    def __init__(self, iterations: int) -> None:
        self._iterations = iterations
        self._names: list[str] = []
        self._left: Tensor | None = None

    def note(self, iteration: int, losses: Mapping[str, Tensor], gradient: Tensor) -> None:
        """Take in the losses of an iteration, and the norm of its gradient; nothing waits for the device."""
        parts = {f"the loss {name}": value for name, value in losses.items() if name != "loss"}
        numbers = {**parts, "the loss": losses["loss"], "the gradient": gradient}
        self._names = list(numbers)
        finite = torch.stack([value.float() for value in numbers.values()]).isfinite()
        left = torch.where(finite, 0, self._iterations + 1 - iteration)
        self._left = left if self._left is None else torch.maximum(self._left, left)

    def check(self, alone: bool = False) -> None:
        """Wait for the device, and raise UserError if anything noted was not finite.

        All ranks call it and all raise, but for one that must not wait for others: it is `alone`.
        """
        if self._left is None:
            return
        left: list[int] = (self._left if alone else ranks.largest(self._left)).tolist()
        if first := max(left):
            raise not_finite(self._names[left.index(first)], self._iterations + 1 - first)

    def check_state(self, iteration: int, network: nn.Module, optimizer: Optimizer) -> None:
        """`check`, and of parameters, buffers and what the optimizer keeps after an iteration."""
        self.check()
        kept = [value for state in optimizer.state.values() for value in state.values()]
        tensors = [value for value in (*network.state_dict().values(), *kept) if isinstance(value, Tensor)]
        # some optimizers count their steps on the CPU
        finite = torch.stack([tensor.isfinite().all().to(tensors[0].device) for tensor in tensors]).all()
        if ranks.largest((~finite).long()):
            raise not_finite("a weight", iteration)


def not_finite(what: str, iteration: int) -> UserError:
    """The error to raise."""
    return UserError(
        f"{what} is not finite at iteration {iteration}: run it again, which resumes from the last checkpoint, and if "
        "it ends so again, lower the learning rate"
    )
