"""The networks: every family, unit and backbone; sizes as published; they can learn."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sgr.data.files import IGNORE
from sgr.datasets import describe
from sgr.errors import UserError
from sgr.models.network import Network, build, parameter_count, weighted_sum
from sgr.models.recipes import RECIPES
from sgr.models.settings import Part
from sgr.plan.entries import entries
from sgr.training.segmentation import loss_weights
from sgr.training.settings import TrainSettings
from tests import networks
from tests.networks import backbone_of
from tests.overfit import miou_by_heart
from tests.scratch import ROOT, checked

FAMILIES = ("fcn", "deeplabv3")
UNITS: dict[str, Part | None] = {
    "plain": None,
    "glore": networks.glore(),
    "sgr": networks.sgr(heads=2),
    "sgr-graph": networks.sgr(reasoning="graph", xy_embedding=False),
}
CONCEPT_LOSS = networks.concept_loss(rho=1.0, gamma=1.0)
LOSSES = ["segmentation", "concept_focal", "concept_dice", "concept_cosine"]
SHAPES = [(32, 40), (37, 45), (33, 8), (5, 3), (1, 1), (16, 100)]


def network_of(
    family: str, unit: str, backbone: str = "tiny_resnet", stride: int = 8, head_width: int = 16
) -> tuple[Network, dict[str, float]]:
    """A network of 11 classes and its loss weights, under seed 0; the rows with SGR have the concept loss."""
    torch.manual_seed(0)
    settings = networks.settings(
        family, backbone, stride, UNITS[unit], **head_of(family, head_width, (1, 2, 3))
    )
    return networks.weighted(settings, CONCEPT_LOSS if unit.startswith("sgr") else None)


def head_of(family: str, width: int, rates: tuple[int, ...]) -> dict[str, Any]:
    """What a head takes; the atrous rates are DeepLabV3's alone."""
    return {"width": width} | ({"atrous_rates": rates} if family == "deeplabv3" else {})


def example(B: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels of which some are ignored, and four components in the corners."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (B, 3, *size), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 11, (B, *size), dtype=torch.uint8, generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORE
    rows, columns = (torch.arange(side) * 2 // side for side in size)
    components = (1 + rows[:, None] * 2 + columns).to(torch.int16)
    return images, labels, components.expand(B, *size)


# Shapes and losses


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("family", FAMILIES)
def test_tiny_network_takes_any_size(family, unit):
    network, weights = network_of(family, unit)
    network.eval()
    for size in SHAPES:
        images, labels, components = example(2, size)
        cells = (-(-size[0] // 8), -(-size[1] // 8))
        with torch.no_grad():
            output = network(images)
            scores = network.scores(output, size)
            losses = network.losses(output, labels, components)
        assert output.prediction.logits.shape == (2, 11, *cells)
        assert scores.shape == (2, 11, *size)
        torch.testing.assert_close(scores.sum(1), torch.ones(2, *size))
        assert (scores >= 0).all()
        assert list(losses) == list(weights) == (LOSSES if unit.startswith("sgr") else LOSSES[:1])
        assert all(value.shape == () and bool(value.isfinite()) for value in losses.values())
        if unit == "plain":
            with pytest.raises(AssertionError, match="no regions"):
                network.regions(output)
        else:
            regions = network.regions(output)
            assert regions.shape == (2, 8, *cells)
            assert (regions >= 0).all()


@pytest.mark.parametrize("unit", ["plain", "sgr", "glore"])
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("size", [(64, 80), (67, 50), (9, 7)])
def test_efficientnet_takes_any_size(unit, stride, size):
    network, _ = network_of("fcn", unit, "efficientnet_lite0", stride)
    with torch.no_grad():
        output = network.eval()(torch.zeros(1, 3, *size, dtype=torch.uint8))
    assert output.prediction.logits.shape == (1, 11, -(-size[0] // stride), -(-size[1] // stride))


@pytest.mark.parametrize(
    "name, channels", [("tiny_resnet", 128), ("resnet101", 2048), ("efficientnet_lite0", 320)]
)
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_backbone_has_the_stride_asked_for(name, channels, stride):
    with torch.device("meta"):
        backbone = backbone_of(name, stride)
    assert (backbone.channels[-1], backbone.stride) == (channels, stride)
    features = backbone.to_empty(device="meta")(torch.empty(1, 3, 97, 64, device="meta"))
    assert [map.shape[1] for map in features] == backbone.channels
    assert features[-1].shape == (1, channels, -(-97 // stride), -(-64 // stride))


def test_cross_entropy_by_hand():
    """The mean over labelled pixels of -log of the score of the label."""
    network, _ = network_of("fcn", "plain")
    images, labels, components = example(2, (17, 23))
    output = network.eval()(images)
    scores = network.scores(output, (17, 23))
    total, count = 0.0, 0
    for b, i, j in np.argwhere(labels.numpy() != IGNORE):
        total -= scores[b, int(labels[b, i, j]), i, j].log().item()
        count += 1
    loss = network.losses(output, labels, components)["segmentation"]
    assert loss.item() == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_labelled_gives_loss_zero_with_a_gradient(family, unit):
    network, weights = network_of(family, unit)
    images, labels, components = example(2, (32, 40))
    output = network(images)
    losses = network.losses(output, torch.full_like(labels, IGNORE), torch.zeros_like(components))
    assert all(value.item() == 0 for value in losses.values())
    weighted_sum(losses, weights).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


# Sizes as published


@pytest.mark.parametrize(
    "name, parameters",
    [
        # torchvision's resnet101 has 44,549,160, of which 2048 * 1000 + 1000 are the classifier: 42.50M
        ("resnet101", 44_549_160 - 2_049_000),
        # timm's tf_efficientnet_lite0 has 4,652,008, less the classifier of 1280 features and the 1x1 convolution
        # with batch norm that makes them from 320 channels
        ("efficientnet_lite0", 4_652_008 - 1_281_000 - (320 * 1280 + 2 * 1280)),
    ],
)
def test_backbone_has_the_published_number_of_parameters(name, parameters):
    with torch.device("meta"):
        assert parameter_count(backbone_of(name, 8)) == parameters


# torchvision's documentation gives the networks with an auxiliary head, which is not part of ours:
# 3x3 convolution from 1024 to 256 channels, batch norm, classifier of 21 classes.
AUXILIARY = 9 * 1024 * 256 + 2 * 256 + 256 * 21 + 21


@pytest.mark.parametrize(
    "family, head_width, published", [("fcn", 512, 54_314_346), ("deeplabv3", 256, 60_996_202)]
)
def test_family_has_the_published_number_of_parameters(family, head_width, published):
    with torch.device("meta"):
        head = head_of(family, head_width, (12, 24, 36))
        network = build(networks.settings(family, "resnet101", 8, classes=21, **head))
    assert parameter_count(network) == published - AUXILIARY


@pytest.fixture(scope="module")
def paper(tmp_path_factory) -> dict[str, TrainSettings]:
    """The settings of each row's training."""
    params = checked(tmp_path_factory.mktemp("paper"), {"profile": "paper"})
    found = entries(params, ROOT).items()
    return {name.removeprefix("train/"): entry.settings for name, entry in found if name.startswith("train/")}


# Millions of parameters of the paper's networks, without what SGR and GloRe add. From the papers of Mask2Former
# (47 and 63), MaskFormer (60) and SegFormer (64.1), mmsegmentation's UperNet (60, 121), torchvision's FCN and
# DeepLabV3 without their auxiliary heads (52, 59), give or take other numbers of classes.
PUBLISHED = {
    "ade20k-upernet": 60,
    "ade20k-swin-protoseg": 121,
    "ade20k-segformer": 64.1,
    "ade20k-maskformer": 60,
    "cityscapes-mask2former": 63,
    "cocostuff10k-mask2former": 47,
    "cityscapes-fcn": 52,
    "cityscapes-deeplabv3": 58.6,
}


def test_every_network_of_the_paper_can_be_built(paper):
    """Without memory for its weights. A unit adds its own parameters and no other."""
    counts, heads = {}, {}
    for row, settings in paper.items():
        assert settings.network.classes == len(describe(settings.dataset).classes)
        with torch.device("meta"):
            network = build(settings.network, settings.concept_loss)
        weights = loss_weights(network, settings.beta)
        assert set(weights) >= set(network.head.loss_weights)
        counts[row] = parameter_count(network) - (parameter_count(network.unit) if network.unit else 0)
        heads.setdefault((row.split("-")[0], *row.split("-")[1:2], "proto" in row), set()).add(counts[row])
    assert len(counts) == 47
    assert all(len(found) == 1 for found in heads.values()), heads
    for row, millions in PUBLISHED.items():
        assert counts[row] / 1e6 == pytest.approx(millions, rel=0.03), row


def test_unit_has_the_number_of_parameters_of_its_equations():
    """K = D = 512 on the 2048 channels of ResNet-101, the paper's setting."""
    K, D, C = 512, 512, 2048
    pointwise = (2 * C * K + K) + (2 * C * D + D) + D * C  # Eq. 2, Eq. 3, and back
    attention = 4 * (D * D + D)
    feedforward = (4 * D * D + 4 * D) + (4 * D * D + D)
    layer = attention + feedforward + 2 * 2 * D  # two layer norms
    graph = (K * K + K) + D * D
    with torch.device("meta"):
        sgr = networks.sgr(K, D).make(C)
        by_graph = networks.sgr(K, D, reasoning="graph").make(C)
        glore = networks.glore(K, D).make(C)
    assert parameter_count(sgr) == pointwise + 2 * layer == 11_548_672
    assert parameter_count(by_graph) == pointwise + 2 * graph
    assert parameter_count(glore) == (C * D + D) + (C * K + K) + graph + D * C + 2 * C


# The start


class Keep(nn.Module):
    """A body whose only feature map is its input."""

    def __init__(self, seen: list[Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, images: Tensor) -> list[Tensor]:
        self.seen.append(images)
        return [images]


@pytest.mark.parametrize("name", ["tiny_resnet", "resnet101", "efficientnet_lite0", "tiny_swin"])
def test_mean_colour_is_normalised_to_zero(name):
    backbone = backbone_of(name, 32)
    seen: list[Tensor] = []
    backbone.body = Keep(seen)
    recipe = RECIPES[name]
    mean, std = torch.tensor(recipe.mean).view(3, 1, 1), torch.tensor(recipe.std).view(3, 1, 1)
    backbone((255 * mean).expand(1, 3, 2, 2))
    assert not seen[-1].any()
    backbone((255 * (mean + std)).expand(1, 3, 2, 2))
    torch.testing.assert_close(seen[-1], torch.ones(1, 3, 2, 2))
    colour = torch.tensor(backbone.mean_colour, dtype=torch.uint8).view(1, 3, 1, 1)
    backbone(colour)
    assert (seen[-1].abs() * 255 * std <= 0.5 + 1e-4).all()
    expected = (torch.tensor([0, 128, 255], dtype=torch.uint8) / 255).view(1, 3, 1, 1) - mean
    torch.testing.assert_close(backbone(torch.tensor([0, 128, 255]).view(1, 3, 1, 1))[0], expected / std)


def test_backbones_know_what_their_weights_expect():
    """ImageNet's mean and deviation for torchvision's ResNet, one half for TensorFlow's EfficientNet-Lite."""
    assert RECIPES["resnet101"].mean == (0.485, 0.456, 0.406)
    assert RECIPES["resnet101"].std == (0.229, 0.224, 0.225)
    assert RECIPES["efficientnet_lite0"].mean == RECIPES["efficientnet_lite0"].std == (0.5, 0.5, 0.5)


def test_unknown_backbone(tmp_path):
    """Of the parameters, before anything is built."""
    with pytest.raises(
        UserError, match=r"backbones.resnet101: must be one of resnet101, .*tiny_resnet.*not 'resnet5'"
    ):
        checked(tmp_path, {"profiles.mini.backbones.resnet101": "resnet5"})


@pytest.mark.parametrize("unit", ["glore", "sgr", "sgr-graph"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("training", [True, False])
def test_fresh_unit_changes_no_logit(family, unit, training):
    images, _, _ = example(2, (37, 45))
    logits = []
    for name in ("plain", unit):
        network, _ = network_of(family, name)
        network.train(training)
        torch.manual_seed(1)  # the same dropout
        logits.append(network(images).prediction.logits)
    assert torch.equal(*logits)


# Without a gradient at the first step: what lies behind a last layer that starts at zero. That is the unit's (its
# concepts have a gradient from the concept loss), and in a random ResNet of timm the second norm of each block.
BLOCKS = r"backbone\.body\.layer\d\.\d\.(conv1|bn1|conv2)\."
BEHIND_ZERO = {
    "plain": BLOCKS,
    "glore": rf"{BLOCKS}|unit\.(state|project|reason|expand)\.",
    "sgr": rf"{BLOCKS}|unit\.(reduce|reason)\.",
    "sgr-graph": rf"{BLOCKS}|unit\.(reduce|reason)\.",
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_every_parameter(family, unit):
    """At the start all but those behind a zero; after one step, all."""
    network, weights = network_of(family, unit)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    images, labels, components = example(4, (64, 80))
    for step in range(2):
        optimizer.zero_grad()
        output = network(images)
        weighted_sum(network.losses(output, labels, components), weights).backward()
        without = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()}
        if step == 0:
            behind = {n for n, _ in network.named_parameters() if re.match(BEHIND_ZERO[unit], n)}
            assert without == behind
        else:
            assert not without
        optimizer.step()


# Learning


@pytest.mark.parametrize("unit", ["plain", "glore", "sgr"])
@pytest.mark.parametrize("family", FAMILIES)
def test_overfits_four_images(family, unit):
    """With the optimizer, schedule and rates of training."""
    network, weights = network_of(family, unit, head_width=32)
    rates = {"optimizer": "sgd", "learning_rate": 0.02, "head_multiplier": 10}
    assert miou_by_heart(network, weights, **rates, iterations=80) > 90


def test_dropout_and_batch_norm_are_off_in_evaluation():
    network, _ = network_of("fcn", "sgr")
    images, _, _ = example(2, (32, 40))
    network.eval()
    with torch.no_grad():
        first, second = network(images), network(images)
        alone = network(images[:1])
    assert torch.equal(first.prediction.logits, second.prediction.logits)
    torch.testing.assert_close(alone.prediction.logits, first.prediction.logits[:1], rtol=1e-4, atol=1e-5)
    assert any(isinstance(module, nn.Dropout) and module.p == 0.1 for module in network.modules())
