"""What evaluation and semantics both start from: the trained network and the samples of a split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader

from sgr import data
from sgr.data.manifest import samples
from sgr.data.samples import EvaluationSamples
from sgr.device import memory_format
from sgr.models import build
from sgr.models.network import Network


def trained_network(plan: dict[str, Any], model: str, device: torch.device) -> Network:
    """The network of a plan entry with the weights of `model`, in evaluation mode."""
    network = build(**plan["network"], classes=len(data.dataset(plan["dataset"]).CLASSES))
    network.load_state_dict(load_file(model))
    network.to(device).to(memory_format=memory_format(plan["channels_last"]))
    return network.eval()


def evaluation_loader(
    plan: dict[str, Any], where: dict[str, Any], manifest: dict[str, Any], split: str
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(id, image (1,3,H,W) uint8, label (1,H,W) uint8) of each sample of a split, in the manifest's order."""
    dataset = data.dataset(plan["dataset"])
    chosen = EvaluationSamples(samples(Path(where["data"]), manifest, split), dataset.read_label)
    loader = DataLoader(chosen, batch_size=1, num_workers=where["loader_workers"])
    for item in loader:
        yield item["id"][0], item["image"], item["label"]
