"""ImageNet weights: found and verified; a mistake is one sentence and leaves no file."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from sgr.errors import UserError
from sgr.files import read_json, write_json
from sgr.jobs.job import Code, plain
from sgr.models import weights
from sgr.models.recipes import RECIPES
from sgr.models.settings import Published
from sgr.plan.entry import Entry
from sgr.plan.stage_settings import WeightsSettings
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
from tests.scratch import commit, copy_checkout, dvc, run


@pytest.fixture(autouse=True)
def own_generator():
    torch.manual_seed(0)


def sentence(raised: Any) -> str:
    """The message, which is one line."""
    text = str(raised.value)
    assert "\n" not in text and len(text) > 20
    return text


# Of these only the first digits of the checksum are published, in their names.
SHORT = ["swin_b", "hrnetv2_w48"]


def test_sources_are_the_published_files():
    """The first digits of the checksum are in each file's name, and the name ends its address."""
    paper = ["resnet101", "swin_t", "swin_b", "mit_b4", "hrnetv2_w48"]
    assert [name for name, recipe in RECIPES.items() if recipe.weights and name != PACKAGED] == paper
    for name in [*paper, PACKAGED]:
        published = source(name)
        assert published.file.endswith(f"-{published.sha256[:8]}.pth")
        assert len(published.sha256) == (8 if name in SHORT else 64)
        if name != PACKAGED:
            assert published.address.endswith(f"/{published.file}")


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
    assert f"has SHA-256 {digest}, not {source('resnet101').sha256}: it is damaged" in sentence(raised)


def test_whole_checksum_is_compared(tmp_path):
    """The first digits alone can be met by trying."""
    published = publish(tmp_path, "resnet101", {})
    assert weights.find("resnet101", published, tmp_path).is_file()
    last = published._replace(sha256=published.sha256[:-1] + "01"[published.sha256[-1] == "0"])
    with pytest.raises(UserError, match=last.sha256):
        weights.find("resnet101", last, tmp_path)
    first = published._replace(sha256=published.sha256[:8])
    assert weights.find("resnet101", first, tmp_path).is_file()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the checkout whose plan wants a small Swin of which no digit of the checksum is published."""
    root = copy_checkout(tmp_path / "copy")
    _, settings = tiny_swin()
    published = Published("swin.pth", "", "https://example.org/swin.pth")
    entry = Entry(WeightsSettings("swin_t", settings, True, published), Code())
    write_json(root / "work/mini/plan/weights/swin_t.json", plain(entry))
    return root


def test_file_that_is_another_one_later(project, tmp_path):
    """The first is trusted, through DVC, which removes what a stage has made before it runs again."""
    target = ["repro", "--single-item", "--force", "stages/weights/swin_t/dvc.yaml:weights@mini"]
    commit(project)
    record = project / "work/mini/weights/swin_t/weights.json"
    network = tiny_swin()[0]
    torch.save(network.state_dict(), tmp_path / "swin.pth")
    for _ in range(2):
        dvc(project, *target, SGR_WEIGHTS=str(tmp_path))
    first = hashlib.sha256((tmp_path / "swin.pth").read_bytes()).hexdigest()
    assert read_json(record)["sha256"] == first
    weights_before = record.with_name("weights.safetensors").read_bytes()

    torch.save(tiny_swin()[0].state_dict(), tmp_path / "swin.pth")
    ended = run(project, "dvc", *target, SGR_WEIGHTS=str(tmp_path))
    other = hashlib.sha256((tmp_path / "swin.pth").read_bytes()).hexdigest()
    said = f"error: {tmp_path}/swin.pth has SHA-256 {other}, but {first} when it was first used: "
    assert ended.returncode and said in ended.stderr
    assert record.with_name("weights.safetensors").read_bytes() == weights_before

    record.unlink()
    dvc(project, *target, SGR_WEIGHTS=str(tmp_path))
    assert read_json(record)["sha256"] == other
    entry = read_json(project / "work/mini/plan/weights/swin_t.json")
    entry["settings"]["pretrained"] = False
    write_json(project / "work/mini/plan/weights/swin_t.json", entry)
    dvc(project, *target)
    assert [path.name for path in record.parent.iterdir()] == ["weights.json"]


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
