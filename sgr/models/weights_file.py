"""The file of a trained network's weights, which knows the SHA-256 of what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sgr.errors import UserError


def packed(state: Mapping[str, Tensor]) -> bytes:
    """A state dict as safetensors, whose metadata hold the `sha256` of its tensors."""
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    return save(tensors, {"sha256": _of_all(tensors)})


def read(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, wherever it was copied to.

    Raises:
        UserError: if it is not what was written.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            recorded = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} cannot be read ({error}): delete it, and `dvc repro` brings it back"
        ) from None
    if recorded != _of_all(tensors):
        raise UserError(f"{path} changed after its training: delete it, and `dvc repro` brings it back")
    return tensors


def digest(tensor: Tensor) -> str:
    """SHA-256 of the type, shape and bytes of a tensor, as 64 hex digits."""
    values = tensor.detach().cpu().contiguous()
    found = hashlib.sha256(f"{values.dtype} {tuple(values.shape)}".encode())
    found.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _of_all(tensors: Mapping[str, Tensor]) -> str:
    lines = (f"{name} {digest(tensor)}\n" for name, tensor in sorted(tensors.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
