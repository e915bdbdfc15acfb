"""Whole networks with query heads: any size of image, gradients, bits, bfloat16, published sizes, and both learn."""

from __future__ import annotations

import re

import pytest
import torch

from sgr.data.files import IGNORE
from sgr.errors import UserError
from sgr.models.network import build, parameter_count, weighted_sum
from tests import networks
from tests.overfit import miou_by_heart
from tests.query_heads import (
    CHANNELS,
    CLASSES,
    FAMILIES,
    QUERIES,
    example,
    head_of,
    losses_of,
    network_of,
)

pytestmark = pytest.mark.usefixtures("deterministic")


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("unit", ["plain", "sgr"])
@pytest.mark.parametrize("family", FAMILIES)
def test_network_takes_any_size(family, unit, stride):
    network = network_of(family, unit, stride)
    for size in [(32, 40), (37, 45), (33, 8), (5, 3), (1, 1), (16, 100)]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=generator)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.randint(0, 11, (2, *size), dtype=torch.uint8, generator=generator)
        labels[:, size[0] // 2 :] = IGNORE  # as where a small image is padded to the crop
        output = network(images)
        losses = network.losses(output, labels, torch.zeros_like(labels))
        assert all(bool(value.isfinite()) for value in losses.values())
        cells = (-(-size[0] // 4), -(-size[1] // 4))
        scores = network.scores(output, size)
        assert scores.shape == (2, 11, *size)
        assert (scores >= 0).all()
        assert output.prediction.mask_logits.shape == (2, QUERIES, *cells)
        if unit == "plain":
            regions = network.regions(output)
            assert regions.shape == (2, QUERIES, *cells)
            assert ((regions >= 0) & (regions <= 1)).all()


# The queries are zero before MaskFormer's first self-attention: its values are the bias alone, alike for all queries,
# so that nothing depends on the weights of attention.
ALIKE = r"transformer\.decoder\.layers\.0\.self_attn\.([qk]_proj\.|v_proj\.weight)"
# A bias of the keys adds the same to all logits of one softmax: a gradient of rounding errors, or none.
KEYS = r"k_proj\.bias"


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_every_parameter(family):
    head, (_, labels) = head_of(family), example()
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-3)
    features = [torch.randn(3, c, 64 // s, 96 // s) for c, s in zip(CHANNELS, (4, 8, 16, 16), strict=True)]
    for step in range(2):  # what is zero at the start, biases of values and the like, moves in the first step
        optimizer.zero_grad()
        weighted_sum(losses_of(head, head(features), labels), head.loss_weights).backward()
        assert all(parameter.grad is not None for parameter in head.parameters())
        optimizer.step()
        if step == 1:
            without = {n for n, p in head.named_parameters() if p.grad is not None and not p.grad.any()}
            allowed = rf"{ALIKE}|{KEYS}" if family == "maskformer" else KEYS
            assert not {name for name in without if not re.search(allowed, name)}


@pytest.mark.parametrize("family", FAMILIES)
def test_same_seed_gives_the_same_bits(family):
    images, labels = example()
    weights = []
    for _ in range(2):
        network = network_of(family, classes=CLASSES)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        for _ in range(3):
            optimizer.zero_grad()
            losses = network.losses(network(images), labels, labels)
            weighted_sum(losses, network.head.loss_weights).backward()
            optimizer.step()
        weights.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    assert torch.equal(*weights)
    assert weights[0].isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_trains_with_losses_in_float32(family):
    network = network_of(family, classes=CLASSES)
    images, labels = example()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(images)
        assert output.prediction.mask_logits.dtype == torch.bfloat16
        losses = network.losses(output, labels, labels)
        scores = network.scores(output, (64, 96))
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert scores.dtype == torch.float32
    weighted_sum(losses, network.head.loss_weights).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.head.parameters())


# MaskFormer's Table 1 and Mask2Former's Tables 1 and 5 (ADE20K, 150 classes), in millions
PUBLISHED = [
    ("maskformer", "resnet101", 6, 60),
    ("mask2former", "resnet101", 9, 63),
    ("mask2former", "swin_t", 9, 47),
]


@pytest.mark.parametrize("family, backbone, layers, millions", PUBLISHED)
def test_network_has_the_published_number_of_parameters(family, backbone, layers, millions):
    head = {"width": 256, "queries": 100, "layers": layers, "heads": 8}
    if family == "mask2former":
        head["points"] = 12544
    with torch.device("meta"):
        network = build(networks.settings(family, backbone, 32, classes=150, **head))
    assert round(parameter_count(network) / 1e6) == millions


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"queries": 0}, "queries of the head must be at least 1, not 0"),
        ({"layers": -1}, "layers of the head must be at least 1, not -1"),
        ({"width": 48}, "width of the head must be a multiple of 32, not 48"),
        ({"heads": 5}, "width of the head must be a multiple of its 5 heads, not 32"),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_that_cannot_be_built_are_refused(family, changed, message):
    with pytest.raises(UserError, match=message):
        head_of(family, **changed)


@pytest.mark.parametrize("unit", ["plain", "sgr"])
@pytest.mark.parametrize("family", FAMILIES)
def test_overfits_four_images(family, unit):
    network = network_of(family, unit, width=64, queries=12, layers=2, **_points(family))
    concepts = {f"concept_{name}": 0.1 for name in ("focal", "dice", "cosine")}
    weights = network.head.loss_weights | (concepts if unit == "sgr" else {})
    rates = {"optimizer": "adamw", "learning_rate": 0.001, "head_multiplier": 2, "gradient_clip": 0.01}
    iterations = {"maskformer": 120, "mask2former": 130}[family]
    assert miou_by_heart(network, weights, **rates, iterations=iterations) > 90


def _points(family: str) -> dict[str, int]:
    return {"points": 256} if family == "mask2former" else {}
