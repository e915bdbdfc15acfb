"""Small query heads, their inputs, and the library's models beside them: what the tests of query heads share."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    ResNetConfig,
    SwinConfig,
)
from transformers.models.maskformer.configuration_maskformer import MaskFormerDetrConfig

from sgr.data.files import IGNORE
from sgr.models.heads import mask2former, maskformer
from sgr.models.heads.queries import Answers, QueryHead, QueryPrediction
from sgr.models.network import Network, build
from tests import networks

FAMILIES = ("maskformer", "mask2former")
CLASSES, WIDTH, QUERIES, LAYERS, HEADS, POINTS = 6, 32, 8, 3, 4, 64
CHANNELS = [8, 16, 24, 40]
SIZES = {"width": WIDTH, "queries": QUERIES, "layers": LAYERS, "heads": HEADS}
TERMS = {"classification": "loss_cross_entropy", "mask": "loss_mask", "dice": "loss_dice"}


def head_of(family: str, channels: list[int] = CHANNELS, classes: int = CLASSES, **changed: int) -> QueryHead:
    sizes = SIZES | ({"points": POINTS} if family == "mask2former" else {}) | changed
    head: QueryHead = {"maskformer": maskformer, "mask2former": mask2former}[family].head(
        channels, classes, **sizes
    )
    return head


def blocks(*patterns: list[list[int]], cell: int = 16) -> Tensor:
    """Label maps (B, H, W) of square blocks."""
    labels = torch.tensor(patterns, dtype=torch.uint8)
    return labels.repeat_interleave(cell, 1).repeat_interleave(cell, 2)


def random_prediction(
    labels: Tensor, factor: int = 1, queries: int = QUERIES, layers: int = 1
) -> QueryPrediction:
    """Random answers, masks at 1/factor of the labels' size."""
    B, H, W = labels.shape
    generator = torch.Generator().manual_seed(5)

    def answers() -> Answers:
        masks = 2 * torch.randn(B, queries, H // factor, W // factor, generator=generator)
        return Answers(torch.randn(B, queries, CLASSES + 1, generator=generator), masks)

    return QueryPrediction(*answers(), [answers() for _ in range(layers)])


def losses_of(head: QueryHead, prediction: QueryPrediction, labels: Tensor) -> dict[str, Tensor]:
    """Under one seed, for the points of Mask2Former."""
    torch.manual_seed(3)
    return head.losses(prediction, labels)


def stock_model(family: str, backbone: str) -> nn.Module:
    """The library's model with random weights, large enough that the queries differ."""
    stages = [f"stage{i}" for i in range(1, 5)]
    encoder = {
        "resnet": ResNetConfig(
            embedding_size=8, hidden_sizes=CHANNELS, depths=[1] * 4, layer_type="basic", out_features=stages
        ),
        "swin": SwinConfig(
            image_size=64,
            embed_dim=8,
            depths=[1] * 4,
            num_heads=[1, 2, 2, 4],
            window_size=4,
            drop_path_rate=0.0,
            out_features=stages,
        ),
    }[backbone]
    torch.manual_seed(0)
    model: nn.Module
    if family == "maskformer":
        decoder = MaskFormerDetrConfig(
            d_model=WIDTH,
            num_queries=QUERIES,
            decoder_layers=LAYERS,
            decoder_attention_heads=HEADS,
            decoder_ffn_dim=8 * WIDTH,
        )
        model = MaskFormerForInstanceSegmentation(
            MaskFormerConfig(
                backbone_config=encoder,
                decoder_config=decoder,
                fpn_feature_size=WIDTH,
                mask_feature_size=WIDTH,
                num_labels=CLASSES,
            )
        )
    else:
        model = Mask2FormerForUniversalSegmentation(
            Mask2FormerConfig(
                backbone_config=encoder,
                feature_size=WIDTH,
                mask_feature_size=WIDTH,
                hidden_dim=WIDTH,
                encoder_feedforward_dim=4 * WIDTH,
                dim_feedforward=8 * WIDTH,
                encoder_layers=2,
                decoder_layers=LAYERS + 1,
                num_attention_heads=HEADS,
                num_queries=QUERIES,
                train_num_points=POINTS,
                num_labels=CLASSES,
            )
        )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.15 * torch.randn_like(parameter)
    return model


def with_weights_of(stock: Any, family: str) -> QueryHead:
    """Our head with all the weights that are not the encoder's."""
    renamed = {
        re.sub(r"^model\.(pixel_level_module\.decoder|transformer_module)", _ours, name): value
        for name, value in stock.state_dict().items()
        if "pixel_level_module.encoder" not in name and not name.startswith("criterion.")
    }
    head = head_of(family, list(stock.model.pixel_level_module.encoder.channels))
    head.load_state_dict(renamed)
    return head


def _ours(match: re.Match[str]) -> str:
    return {"pixel_level_module.decoder": "pixel_decoder", "transformer_module": "transformer"}[match[1]]


def example() -> tuple[Tensor, Tensor]:
    """Three images of 64 x 96: several classes, one class, nothing labelled."""
    images = torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    rows = [[0, 0, 1, 1, 4, 4], [0, 3, 3, 1, 4, 4], [5, 3, 3, 1, 1, 0], [5, 5, 5, 0, 0, 0]]
    return images, blocks(rows, [[2] * 6] * 4, [[IGNORE] * 6] * 4)


def network_of(
    family: str, unit: str = "plain", stride: int = 8, classes: int = 11, **changed: int
) -> Network:
    """Under seed 0, over the tiny ResNet."""
    torch.manual_seed(0)
    sizes = SIZES | ({"points": POINTS} if family == "mask2former" else {}) | changed
    inserted = None if unit == "plain" else networks.sgr(heads=2)
    loss = None if unit == "plain" else networks.concept_loss(rho=1.0, gamma=1.0)
    return build(networks.settings(family, "tiny_resnet", stride, inserted, classes, **sizes), loss)
