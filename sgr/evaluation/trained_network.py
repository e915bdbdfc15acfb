"""What evaluation and semantics both start from: the trained network and the samples of a split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sgr.data import reader
from sgr.data.manifest import samples
from sgr.data.samples import EvaluationSamples
from sgr.device import memory_format
from sgr.evaluation.settings import EvaluationFiles, Seen
from sgr.models import weights_file
from sgr.models.network import Network, build


def trained_network(seen: Seen, files: EvaluationFiles, device: torch.device) -> Network:
    """The network with the weights of `files.model`, in evaluation mode."""
    network = build(seen.network)
    network.load_state_dict(weights_file.read(files.model))
    network.to(device).to(memory_format=memory_format(seen.channels_last))
    return network.eval()


def evaluation_loader(
    seen: Seen, files: EvaluationFiles, manifest: dict[str, Any], split: str
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(id, image (1,3,H,W) uint8, label (1,H,W) uint8) of each sample of a split, in the manifest's order."""
    chosen = EvaluationSamples(samples(files.data, manifest, split), reader(seen.dataset).read_label)
    for item in DataLoader(chosen, batch_size=1, num_workers=files.loader_workers):
        yield item["id"][0], item["image"], item["label"]
