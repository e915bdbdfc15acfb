"""ImageNet weights: found and verified; a mistake is one sentence and leaves no file."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from sgr.errors import UserError
from sgr.models import weights
from sgr.models.recipes import RECIPES
from tests.published_weights import (
    PACKAGED,
    convert,
    packaged,
    publish,
    source,
    tiny_hrnet,
    tiny_mit,
    tiny_swin,
    torchvision_resnet,
)


@pytest.fixture(autouse=True)
def own_generator():
    torch.manual_seed(0)


def sentence(raised: Any) -> str:
    """The message, which is one line."""
    text = str(raised.value)
    assert "\n" not in text and len(text) > 20
    return text


def test_sources_are_the_published_files():
    """The first digits of the checksum are in each file's name, and the name ends its address."""
    paper = ["resnet101", "swin_t", "swin_b", "mit_b4", "hrnetv2_w48"]
    assert [name for name, recipe in RECIPES.items() if recipe.weights and name != PACKAGED] == paper
    for name in paper:
        published = source(name)
        assert published.address.endswith(f"/{published.file}")
        assert published.file.endswith(f"-{published.sha256}.pth") and len(published.sha256) == 8


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


@pytest.mark.parametrize("mistake", ["missing", "shape"])
@pytest.mark.parametrize("backbone", ["resnet101", PACKAGED])
def test_other_tensors_than_the_backbone_needs(backbone, mistake, tmp_path):
    if backbone == "resnet101":
        tensors = dict(torchvision_resnet().state_dict())
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
