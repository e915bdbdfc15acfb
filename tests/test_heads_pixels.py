"""UperNet, SegFormer and HRNet: equal to transformers' own models, for images of any size; they can learn."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SwinConfig,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)

from sgr.data.files import IGNORE
from sgr.models.network import Network, weighted_sum
from sgr.models.settings import Part
from tests import networks
from tests.overfit import miou_by_heart

FAMILIES = {"upernet": ("tiny_swin", 16), "segformer": ("tiny_mit", 16), "hrnet": ("tiny_hrnet", 32)}
SGR = networks.sgr(K=16, heads=2)
CONCEPT_LOSS = networks.concept_loss(L=8, rho=1.0, gamma=1.0)
WIDTH = 32


def network_of(family: str, unit: Part | None = None) -> tuple[Network, dict[str, float]]:
    """A tiny network of 11 classes and its loss weights, under seed 0."""
    torch.manual_seed(0)
    backbone, stride = FAMILIES[family]
    settings = networks.settings(family, backbone, stride, unit, width=WIDTH)
    return networks.weighted(settings, CONCEPT_LOSS if unit else None)


def example(B: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels of which some are ignored, and four components in the corners."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (B, 3, *size), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 11, (B, *size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORE
    rows, columns = (torch.arange(side) * 2 // side for side in size)
    return images, labels, (1 + rows[:, None] * 2 + columns).expand(B, *size)


# transformers' own models


class Unchanged(nn.Module):
    """What returns its features as they are, in the place of SGR."""

    def forward(self, features: Tensor) -> SimpleNamespace:
        return SimpleNamespace(features=features, regions=features)


def stock_upernet() -> nn.Module:
    body = SwinConfig(
        patch_size=2,
        embed_dim=16,
        depths=(1, 1, 1, 1),
        num_heads=(1, 2, 4, 8),
        window_size=4,
        drop_path_rate=0.0,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = UperNetConfig(
        backbone_config=body, hidden_size=WIDTH, auxiliary_channels=WIDTH // 2, num_labels=11
    )
    return UperNetForSemanticSegmentation(config)


def stock_segformer() -> nn.Module:
    config = SegformerConfig(
        depths=(1, 1, 1, 1),
        hidden_sizes=(16, 32, 64, 128),
        num_attention_heads=(1, 2, 4, 8),
        strides=(2, 2, 2, 2),
        drop_path_rate=0.0,
        decoder_hidden_size=WIDTH,
        num_labels=11,
    )
    return SegformerForSemanticSegmentation(config)


STOCK = {"upernet": stock_upernet, "segformer": stock_segformer}
PLACES = {
    "backbone.": "backbone.body.",
    "segformer.": "backbone.body.",
    "decode_head.classifier.": "head.classifier.",
    "decode_head.": "head.decoder.",
    "auxiliary_head.": "head.auxiliary.",
}


def with_weights_of(stock: nn.Module, family: str) -> Network:
    """Our network with the weights of transformers' model: every tensor of ours is one of theirs."""
    network, _ = network_of(family)
    state = {}
    for name, tensor in stock.state_dict().items():
        place = next(place for place in PLACES if name.startswith(place))
        state[PLACES[place] + name.removeprefix(place)] = tensor
    unread = {name for name in state if name.startswith("backbone.body.swin.layernorm.")}
    assert len(unread) == (2 if family == "upernet" else 0)
    network.load_state_dict({name: tensor for name, tensor in state.items() if name not in unread})
    return network


@pytest.mark.parametrize("size", [(64, 80), (37, 45), (50, 33)])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("inserted", [False, True])
@pytest.mark.parametrize("family", STOCK)
def test_scores_and_losses_are_those_of_transformers(family, inserted, training, size):
    """To the last bit, dropout and batch norm in training included.

    The stock's logits are brought into the order in memory that ours have before they are enlarged, as another order
    rounds differently; their values stay.
    """
    torch.manual_seed(3)
    stock = STOCK[family]()
    stock.decode_head.register_forward_hook(lambda module, inputs, logits: logits.contiguous())
    network = with_weights_of(stock, family)
    if inserted:
        network.unit = Unchanged()
    images, labels, components = example(2, size)
    pixels = (images - network.backbone.mean) / network.backbone.std
    torch.manual_seed(1)
    theirs = stock.train(training)(pixels, labels=labels)
    torch.manual_seed(1)
    output = network.train(training)(images)
    logits = torch.nn.functional.interpolate(theirs.logits, size, mode="bilinear")
    assert torch.equal(network.scores(output, size), logits.softmax(1))
    assert logits.std() > 1e-4
    losses = network.losses(output, labels, components)
    assert list(losses) == (["segmentation", "auxiliary"] if family == "upernet" else ["segmentation"])
    assert network.head.loss_weights == {name: {"auxiliary": 0.4}.get(name, 1.0) for name in losses}
    assert torch.equal(weighted_sum(losses, network.head.loss_weights), theirs.loss)


# HRNet's head, by hand


def test_hrnet_head_by_hand():
    """A cell of the first map is classified from what the four maps hold there, interpolated linearly."""
    network, _ = network_of("hrnet")
    head = network.head.eval().double()
    maps = [torch.randn(1, 16 * 2**i, 8 // 2**i, 8 // 2**i, dtype=torch.float64) for i in range(4)]
    convolution, norm, _ = head.decoder
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    logits = head(maps).logits
    assert logits.shape == (1, 11, 8, 8)
    for i, j in [(0, 0), (3, 4), (7, 2)]:
        column = torch.cat([interpolated(x[0], (i + 0.5) / 8, (j + 0.5) / 8) for x in maps])
        x = convolution.weight[:, :, 0, 0] @ column
        x = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        expected = head.classifier.weight[:, :, 0, 0] @ x.clamp_min(0) + head.classifier.bias
        torch.testing.assert_close(logits[0, :, i, j], expected)


def interpolated(x: Tensor, row: float, column: float) -> Tensor:
    """(C, h, w) at a place in 0..1 of its sides, linearly between the centres of cells, constant beyond them."""
    for share in (row, column):
        position = min(max(share * x.shape[1] - 0.5, 0), x.shape[1] - 1)
        first = int(position)
        second = min(first + 1, x.shape[1] - 1)
        x = x[:, first] + (position - first) * (x[:, second] - x[:, first])
        x = x.unsqueeze(-1) if x.dim() == 1 else x
    return x[:, 0] if x.dim() == 2 else x


# Shapes and gradients


@pytest.mark.parametrize("unit", [None, SGR], ids=["plain", "sgr"])
@pytest.mark.parametrize("family", FAMILIES)
def test_network_takes_any_size(family, unit):
    network, weights = network_of(family, unit)
    network.eval()
    finest = 4 if family == "hrnet" else 2
    for size in [(64, 80), (37, 45), (33, 8), (5, 3), (1, 1), (16, 100)]:
        images, labels, components = example(2, size)
        with torch.no_grad():
            output = network(images)
            scores = network.scores(output, size)
            losses = network.losses(output, labels, components)
        assert output.prediction.logits.shape == (2, 11, *(-(-side // finest) for side in size))
        torch.testing.assert_close(scores.sum(1), torch.ones(2, *size))
        assert list(losses) == list(weights)
        assert all(value.shape == () and bool(value.isfinite()) for value in losses.values())


@pytest.mark.parametrize("unit", [None, SGR], ids=["plain", "sgr"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_gets_a_gradient(family, unit):
    network, weights = network_of(family, unit)
    images, labels, components = example(2, (64, 80))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):  # what lies behind SGR's zero layer waits for the second step
        optimizer.zero_grad()
        weighted_sum(network.losses(network(images), labels, components), weights).backward()
        optimizer.step()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_labelled_gives_loss_zero_with_a_gradient(family):
    network, weights = network_of(family)
    images, labels, components = example(2, (32, 40))
    losses = network.losses(network(images), torch.full_like(labels, IGNORE), components)
    weighted_sum(losses, weights).backward()
    assert all(value.item() == 0 for value in losses.values())
    assert all(p.grad is not None and not p.grad.any() for p in network.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_void_pixels_never_count(family):
    """What is predicted where the label is void changes no loss."""
    network, _ = network_of(family)
    images, labels, components = example(2, (32, 40))
    labels[:, :, 20:] = IGNORE
    output = network.eval()(images)
    logits = output.prediction.logits.clone()
    logits[..., logits.shape[-1] * 3 // 4 :] += torch.randn(11, 1, 1)
    changed = output._replace(prediction=output.prediction._replace(logits=logits))
    before, after = (network.losses(o, labels, components)["segmentation"] for o in (output, changed))
    assert torch.equal(before, after)
    labels[:, :, 38] = 3
    before, after = (network.losses(o, labels, components)["segmentation"] for o in (output, changed))
    assert not torch.equal(before, after)


# Learning


@pytest.mark.parametrize("unit", [None, SGR], ids=["plain", "sgr"])
@pytest.mark.parametrize("family", FAMILIES)
def test_overfits_four_images(family, unit):
    network, weights = network_of(family, unit)
    rates = {"optimizer": "adamw", "learning_rate": 0.004, "head_multiplier": 2}
    assert miou_by_heart(network, weights, **rates, iterations=100, warmup=5) > 90
