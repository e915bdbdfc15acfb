"""The fingerprint of a training: the bits of its first iterations, by which other code can prove to be the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sgr.files import read_json, write_json
from sgr.models.weights_file import digest

ITERATIONS = (1, 2, 5)


class Fingerprint:
    """Writes {iteration: {losses: {name: value}, tensors: {name: hash}}} after each of the first ITERATIONS.

    Args:
        path: of the file.
        start: iterations that a resumed run has behind it; what the file says of later ones is taken anew.
    """

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        written = read_json(path) if start and path.exists() else {}
        self.taken: dict[str, Any] = {
            number: bits for number, bits in written.items() if int(number) <= start
        }

    def take(
        self, iteration: int, network: nn.Module, optimizer: Optimizer, losses: Mapping[str, Tensor]
    ) -> None:
        """Add what holds after an iteration, if it is one of ITERATIONS: losses are those of the first rank's share."""
        if iteration not in ITERATIONS:
            return
        values = {name: float(value).hex() for name, value in losses.items()}
        self.taken[str(iteration)] = {"losses": values, "tensors": hashes(network, optimizer)}
        write_json(self.path, self.taken)


def hashes(network: nn.Module, optimizer: Optimizer) -> dict[str, str]:
    """First 16 hex digits of the SHA-256 of every parameter and buffer, and of what the optimizer keeps of each."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    tensors = dict(network.state_dict())
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for kept, value in optimizer.state.get(parameter, {}).items():
                if value is not None:
                    tensors[f"{names[parameter]} ({kept})"] = torch.as_tensor(value)
    return {name: digest(tensor)[:16] for name, tensor in tensors.items()}


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str | None:
    """Where two fingerprints of the same iterations part: iteration and loss or tensor; None where every bit agrees."""
    for iteration in sorted(first, key=int):
        for what in ("losses", "tensors"):
            one, other = first[iteration][what], second[iteration][what]
            for name in [*one, *(name for name in other if name not in one)]:
                if one.get(name) != other.get(name):
                    return f"iteration {iteration}: {what[:-1] if what == 'tensors' else 'loss'} {name}"
    return None
