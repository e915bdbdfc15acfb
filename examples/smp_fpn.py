"""SGR in segmentation_models_pytorch: between decoder and head. `python -m examples.smp_fpn [CAMVID]`"""

from __future__ import annotations

import sys
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sgr
from examples.scenes import CLASSES, accuracy, batches, scenes


class Network(nn.Module):
    """FPN on ResNet-18, random weights; its decoder's map has 128 channels, at a quarter of the image's size."""

    def __init__(self, with_sgr: bool) -> None:
        super().__init__()
        self.network = smp.FPN("resnet18", encoder_weights=None, classes=CLASSES)
        self.unit = sgr.SGR(channels=128, K=32, D=64) if with_sgr else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Class scores (B, M, H, W), and with SGR concept logits (B, K, h, w)."""
        features, concept_logits = self.network.decoder(self.network.encoder(images)), None
        if self.unit:
            features, concept_logits, _ = self.unit(features)
        return self.network.segmentation_head(features), concept_logits


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
