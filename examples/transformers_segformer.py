"""SGR in transformers' SegFormer: on the encoder's last map. `python -m examples.transformers_segformer [CAMVID]`"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import SegformerConfig, SegformerForSemanticSegmentation

import sgr
from examples.scenes import CLASSES, accuracy, batches, scenes


class Network(nn.Module):
    """A small SegFormer, random weights; its encoder's last map has 128 channels."""

    def __init__(self, with_sgr: bool) -> None:
        super().__init__()
        widths, strides = [16, 32, 64, 128], [4, 2, 2, 1]
        config = SegformerConfig(depths=[1] * 4, hidden_sizes=widths, strides=strides, num_labels=CLASSES)
        self.network = SegformerForSemanticSegmentation(config)
        self.unit = sgr.SGR(channels=128, K=32, D=64) if with_sgr else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Class scores (B, M, H, W), and with SGR concept logits (B, K, h, w)."""
        encoded = self.network.segformer(images, output_hidden_states=True)
        features, concept_logits = list(encoded.hidden_states), None
        if self.unit:
            features[-1], concept_logits, _ = self.unit(features[-1])
        scores = self.network.decode_head(features)
        return F.interpolate(scores, size=images.shape[2:], mode="bilinear"), concept_logits


def main(folder: Path | None = None, images: int = 64, iterations: int = 60) -> None:
    """Train the plain network and the one with SGR on the same batches, and say how well each does."""
    train, val = scenes("train", images, folder), scenes("val", images // 2, folder)
    concept_loss = sgr.ConceptLoss(L=16)
    for with_sgr in (False, True):
        torch.manual_seed(0)
        network = Network(with_sgr)
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
        for image, label in batches(*train, iterations):
            scores, concept_logits = network(image)
            loss = F.cross_entropy(scores, label, ignore_index=255)
            if concept_logits is not None:
                loss = loss + 0.1 * concept_loss(concept_logits, sgr.connected_components(label))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print("with SGR:" if with_sgr else "plain:   ", accuracy(network.eval(), *val))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
