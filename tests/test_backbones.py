"""Backbones: sizes as published, four maps for images of any size, nothing in them that does not learn."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from sgr.errors import UserError
from sgr.models.network import build, parameter_count
from sgr.models.recipes import RECIPES
from tests import networks
from tests.networks import backbone_of

TINY = {"tiny_resnet": 8, "tiny_swin": 16, "tiny_mit": 16, "tiny_hrnet": 32}


@pytest.fixture(autouse=True)
def own_generator():
    torch.manual_seed(0)


def norms(*channels: int) -> int:
    """Parameters of layer norms."""
    return 2 * sum(channels)


def classifier(channels: int) -> int:
    """Parameters of a linear classifier of ImageNet's classes."""
    return 1000 * channels + 1000


# Sizes as published


def mit_parameters(widths: tuple[int, ...], depths: tuple[int, ...]) -> int:
    """Mix Transformer's, by the layers of its paper (section 3.1, and Table 6 for the sizes)."""
    total = 0
    for stage, (C, depth) in enumerate(zip(widths, depths, strict=True)):
        R, kernel, before = (8, 4, 2, 1)[stage], (7, 3, 3, 3)[stage], (3, *widths)[stage]
        embedding = kernel**2 * before * C + C + norms(C)
        attention = 4 * (C * C + C)
        reduction = R * R * C * C + C + norms(C) if R > 1 else 0
        mix_ffn = (C * 4 * C + 4 * C) + (9 * 4 * C + 4 * C) + (4 * C * C + C)
        total += embedding + depth * (norms(C, C) + attention + reduction + mix_ffn) + norms(C)
    return total


@pytest.mark.parametrize(
    "depths, millions",
    [((3, 4, 6, 3), 24.2), ((3, 4, 18, 3), 44.0), ((3, 8, 27, 3), 60.8), ((3, 6, 40, 3), 81.4)],
)
def test_mit_formula_gives_the_published_millions(depths, millions):
    """SegFormer's Table 1a, the encoders B2 to B5."""
    assert mit_parameters((64, 128, 320, 512), depths) / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize(
    "name, parameters",
    [
        # torchvision's documentation: resnet101 44,549,160, swin_t 28,288,354, swin_b 87,768,224. Less the classifier;
        # Swin also less the norm before it, and with norms of its four maps
        ("resnet101", 44_549_160 - classifier(2048)),
        ("swin_t", 28_288_354 - classifier(768) - norms(768) + norms(96, 192, 384, 768)),
        ("swin_b", 87_768_224 - classifier(1024) - norms(1024) + norms(128, 256, 512, 1024)),
        ("mit_b4", mit_parameters((64, 128, 320, 512), (3, 8, 27, 3))),
    ],
)
def test_backbone_has_the_published_number_of_parameters(name, parameters):
    with torch.device("meta"):
        assert parameter_count(backbone_of(name, 32)) == parameters


def test_hrnet_is_the_published_one_without_its_classifier():
    """timm's and the authors' HRNet-W48-C has 77,469,864 parameters (77.5M); the names are theirs."""
    with torch.device("meta"):
        body = backbone_of("hrnetv2_w48", 32).body
        published = timm.create_model("hrnet_w48")
    assert parameter_count(published) == 77_469_864
    behind = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")
    expected = {n: p.shape for n, p in published.state_dict().items() if not n.startswith(behind)}
    assert {n: p.shape for n, p in body.state_dict().items()} == expected


def upernet_parameters(channels: tuple[int, ...], classes: int) -> int:
    """UperNet's head of width 512 and its auxiliary classifier of width 256; each convolution has a batch norm."""
    width, last = 512, channels[-1]
    pooled = 4 * (last * width + norms(width))
    bottleneck = 9 * (last + 4 * width) * width + norms(width)
    pyramid = sum(C * width + 9 * width * width + norms(width, width) for C in channels[:-1])
    fusion = 9 * 4 * width * width + norms(width)
    auxiliary = 9 * channels[2] * 256 + norms(256) + 257 * classes
    return pooled + bottleneck + pyramid + fusion + 513 * classes + auxiliary


SWIN_T = 28_288_354 - classifier(768) - norms(768) + norms(96, 192, 384, 768)
SWIN_B = 87_768_224 - classifier(1024) - norms(1024) + norms(128, 256, 512, 1024)
MIT_B4 = mit_parameters((64, 128, 320, 512), (3, 8, 27, 3))


@pytest.mark.parametrize(
    "family, backbone, width, classes, parameters, published",
    [
        # Swin Transformer's repository for semantic segmentation, ADE20K: 60M and 121M
        ("upernet", "swin_t", 512, 150, SWIN_T + upernet_parameters((96, 192, 384, 768), 150), "60M"),
        ("upernet", "swin_b", 512, 150, SWIN_B + upernet_parameters((128, 256, 512, 1024), 150), "121M"),
        # SegFormer's Table 1a, ADE20K: encoder and decoder 64.1M. The decoder: four linear layers to 768 channels,
        # their fusion with batch norm, the classifier
        (
            *("segformer", "mit_b4", 768, 150),
            MIT_B4 + 768 * (64 + 128 + 320 + 512 + 4) + 4 * 768 * 768 + norms(768) + 769 * 150,
            "64.1M",
        ),
        # HRNet's repository for semantic segmentation, Cityscapes: 65.9M
        ("hrnet", "hrnetv2_w48", 720, 19, 65_325_120 + 720 * 720 + norms(720) + 721 * 19, "65.9M"),
    ],
)
def test_network_has_the_published_number_of_parameters(
    family, backbone, width, classes, parameters, published
):
    with torch.device("meta"):
        network = build(networks.settings(family, backbone, 32, classes=classes, width=width))
    count = parameter_count(network)
    assert count == parameters
    digits = 1 if "." in published else 0
    assert f"{count / 1e6:.{digits}f}M" == published


# The four maps


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("size", [(97, 70), (64, 96), (33, 31), (1, 5)])
def test_four_maps_for_images_of_any_size(name, size):
    with torch.device("meta"):
        backbone = backbone_of(name, 32)
    assert backbone.stride == 32
    maps = backbone.to_empty(device="meta")(torch.empty(2, 3, *size, device="meta"))
    expected = [
        (2, channels, -(-size[0] // stride), -(-size[1] // stride))
        for channels, stride in zip(backbone.channels, (4, 8, 16, 32), strict=True)
    ]
    assert [tuple(x.shape) for x in maps] == expected


@pytest.mark.parametrize("name", ["swin_t", "mit_b4", "tiny_swin", "tiny_mit"])
@pytest.mark.parametrize("stride", [8, 16])
def test_transformers_reach_a_finer_stride_by_their_patches(name, stride):
    with torch.device("meta"):
        backbone = backbone_of(name, stride)
    assert backbone.stride == stride
    maps = backbone.to_empty(device="meta")(torch.empty(1, 3, 67, 45, device="meta"))
    finest = stride // 8
    assert [tuple(x.shape[2:]) for x in maps] == [
        (-(-67 // (finest * 2**i)), -(-45 // (finest * 2**i))) for i in range(4)
    ]


@pytest.mark.parametrize("stride", [8, 16])
def test_hrnet_has_no_other_stride(stride):
    with pytest.raises(UserError, match=f"its stride must be 32, not {stride}"):
        backbone_of("tiny_hrnet", stride)


@pytest.mark.parametrize("name", ["tiny_mit", "tiny_hrnet"])
def test_what_is_filled_up_has_the_mean_colour(name):
    """An image too small for the network's cells gives what it gives with a border of the mean colour."""
    backbone = backbone_of(name, 32).eval()
    images = torch.rand(1, 3, 20, 11) * 255
    bordered = backbone.mean.expand(1, 3, 32, 32).clone()
    bordered[:, :, :20, :11] = images
    with torch.no_grad():
        small, whole = backbone(images), backbone(bordered)
    for x, y in zip(small, whole, strict=True):
        assert x.std() > 0
        torch.testing.assert_close(x, y[:, :, : x.shape[2], : x.shape[3]])


@pytest.mark.parametrize("name, stride", TINY.items())
def test_every_parameter_gets_a_gradient(name, stride):
    """Of all four maps: distributed training stops at a parameter without one."""
    backbone = backbone_of(name, stride)
    maps = backbone(torch.rand(2, 3, 64, 80) * 255)
    sum((x * torch.randn_like(x)).sum() for x in maps).backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None or not p.requires_grad] == []


# Stochastic depth


def drop_probabilities(name: str) -> list[float]:
    """Of each block, in order."""
    with torch.device("meta"):
        body = backbone_of(name, 32).body
    layers = [module.drop_path for module in body.modules() if hasattr(module, "drop_path")]
    return [0.0 if isinstance(layer, nn.Identity) else layer.drop_prob for layer in layers]


@pytest.mark.parametrize(
    "name, blocks, last", [("swin_t", 12, 0.3), ("swin_b", 24, 0.3), ("mit_b4", 41, 0.1)]
)
def test_drop_path_rises_evenly_to_the_last_block(name, blocks, last):
    expected = [last * block / (blocks - 1) for block in range(blocks)]
    assert drop_probabilities(name) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["tiny_swin", "tiny_mit"])
def test_tiny_transformers_drop_nothing(name):
    assert drop_probabilities(name) == [0.0] * 4
