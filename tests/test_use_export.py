"""A network that is handed on: rebuilt from its folder without the repository, and as programs of torch and of ONNX."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from sgr.errors import UserError
from sgr.evaluation.inference import resized
from sgr.models.settings import NetworkSettings, Part
from sgr.plan.entries import Entries
from sgr.use.export import EXAMPLE, Sized, _rounded, export, obstacles, program
from sgr.use.hub import TrainedNetwork
from tests import networks, tiny_row
from tests.scratch import ROOT

CLASSES = ("sky", "road", "car", "tree", "boat")
# The example's own, a batch of one, odd sides, sides that the stride divides, long and low.
SIZES = (EXAMPLE, (1, 3, 97, 131), (3, 3, 64, 96), (1, 3, 33, 200))


def small(family: str, stride: int, unit: Part | None = None, **head: int) -> NetworkSettings:
    """A network over a ResNet of ten layers: a compiler takes its time for each."""
    made = networks.settings(family, "tiny_resnet", stride, unit, len(CLASSES), **head)
    body = Part(made.backbone.body.made_by, made.backbone.body.arguments | {"layers": (1, 1, 1, 1)})
    return replace(made, backbone=replace(made.backbone, body=body))


FAMILIES = {
    "fcn-glore": small("fcn", 8, networks.glore(), width=16),
    "maskformer": small("maskformer", 16, width=32, queries=6, layers=1, heads=2),
}


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Torch logs every step of an export for whoever listens, and pytest listens."""
    logging.disable(logging.DEBUG)
    yield
    logging.disable(logging.NOTSET)


def trained(settings: NetworkSettings, resize: float = 1.0) -> TrainedNetwork:
    """As after a training: no layer at its start of zero, which would hide what the unit does."""
    torch.manual_seed(0)
    palette = [[40 * index, 0, 0] for index in range(len(CLASSES))]
    network = TrainedNetwork(asdict(settings), resize, list(CLASSES), palette, "A network of the tests")
    for name, tensor in network.named_parameters():
        if not tensor.any():
            nn.init.normal_(tensor, std=0.1) if "expand" in name else nn.init.ones_(tensor)
    return network.eval()


def with_sgr() -> NetworkSettings:
    return small("fcn", 8, networks.sgr(heads=2), width=16)


def images(size: tuple[int, ...]) -> torch.Tensor:
    return torch.randint(0, 256, size, generator=torch.Generator().manual_seed(sum(size))).float()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedNetwork, Path]:
    """SGR at half the images' size, with everything that `export` writes."""
    network, folder = trained(with_sgr(), resize=0.5), tmp_path_factory.mktemp("exported") / "row"
    written = export(network, folder)
    assert sorted(path.name for path in written) == [
        *("README.md", "config.json", "model.onnx", "model.pt2", "model.safetensors")
    ]
    assert sorted(folder.iterdir()) == sorted(written)
    return network, folder


def test_the_torch_program_scores_as_the_network_at_any_size(exported: tuple[TrainedNetwork, Path]) -> None:
    network, folder = exported
    loaded = torch.export.load(folder / "model.pt2").module()
    for size in SIZES:
        with torch.inference_mode():
            torch.testing.assert_close(loaded(images(size)), network(images(size)), rtol=0, atol=1e-5)


def test_onnx_scores_as_the_network_at_any_size(exported: tuple[TrainedNetwork, Path]) -> None:
    import onnxruntime

    network, folder = exported
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    for size in SIZES:
        (found,) = session.run(["scores"], {"images": images(size).numpy()})
        with torch.inference_mode():
            torch.testing.assert_close(torch.from_numpy(found), network(images(size)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_torch_program_of_other_families_scores_as_they_do(family: str) -> None:
    network = trained(FAMILIES[family])
    made = program(network).module()
    for size in SIZES:
        with torch.inference_mode():
            torch.testing.assert_close(made(images(size)), network(images(size)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 0.37, 1.5])
def test_images_are_resized_as_the_evaluation_does(scale: float) -> None:
    made = Sized(trained(with_sgr(), resize=scale))._resized(images((1, 3, 47, 64)))
    torch.testing.assert_close(made, resized(images((1, 3, 47, 64)), scale), rtol=0, atol=1e-3)


def test_the_size_of_a_resized_image_is_rounded_as_python_does() -> None:
    for scale in (0.5, 0.25, 0.75, 0.3, 1.5):
        assert all(_rounded(side, scale) == max(1, round(scale * side)) for side in range(1, 2050))


def test_a_process_with_the_package_alone_loads_the_folder(
    exported: tuple[TrainedNetwork, Path], tmp_path: Path
) -> None:
    network, folder = exported
    shutil.copytree(ROOT / "sgr", tmp_path / "packages/sgr", ignore=shutil.ignore_patterns("__pycache__"))
    torch.save(images(EXAMPLE), tmp_path / "images.pt")
    code = f"""
import sys, torch
from sgr.use.hub import TrainedNetwork
network = TrainedNetwork.from_pretrained({str(folder)!r})
with torch.inference_mode():
    torch.save(network(torch.load({str(tmp_path / "images.pt")!r})), "scores.pt")
ours = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] in ("sgr", "stages", "tests")]
assert all(file.startswith({str(tmp_path)!r}) for file in ours), ours
print(network.classes, network.training)
"""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "packages"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=elsewhere, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"{CLASSES} False\n")
    with torch.inference_mode():
        assert torch.equal(torch.load(elsewhere / "scores.pt"), network(images(EXAMPLE)))


def test_the_folder_says_what_it_holds(exported: tuple[TrainedNetwork, Path]) -> None:
    network, folder = exported
    config = json.loads((folder / "config.json").read_text())
    assert config["classes"] == list(CLASSES) and config["resize"] == 0.5
    assert config["network"]["unit"]["made_by"] == "sgr.unit:SGR"
    card = (folder / "README.md").read_text()
    assert f"# {network.about}\n" in card and "TrainedNetwork.from_pretrained" in card


@pytest.mark.parametrize("row", ["ade20k-hrnet-protoseg", "cityscapes-mask2former", "ade20k-swin-protoseg"])
def test_a_network_of_any_row_comes_back_from_its_folder(row: str, tmp_path: Path) -> None:
    planned: Entries = tiny_row.entries()
    network = trained(planned[f"evaluate/{row}"].settings.seen.network)
    if "hrnet" in row:
        assert not obstacles(network)
        network.save_pretrained(tmp_path)
    else:
        assert obstacles(network).keys() == {"model.pt2", "model.onnx"}
        files = [path.name for path in export(network, tmp_path)]
        assert files == ["README.md", "config.json", "model.safetensors"]
    loaded = TrainedNetwork.from_pretrained(str(tmp_path))
    with torch.inference_mode():
        assert torch.equal(loaded(images(EXAMPLE)), network(images(EXAMPLE)))


@pytest.mark.parametrize("made_by", ["os:system", "sgr.files:write_bytes", "sgr.models.heads.fcn:pixel_head"])
def test_a_folder_builds_nothing_but_parts_of_networks(made_by: str) -> None:
    settings = asdict(with_sgr())
    settings["head"]["arguments"]["prototypes"] = asdict(Part(made_by, {}))
    with pytest.raises(UserError, match=rf"config.json: '{made_by}' is no part of a network of this package"):
        TrainedNetwork(settings, 1.0, list(CLASSES), [], "")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    trained(FAMILIES["fcn-glore"]).save_pretrained(tmp_path)
    other = trained(with_sgr())
    other.save_pretrained(tmp_path / "other")
    (tmp_path / "other/config.json").replace(tmp_path / "config.json")
    with pytest.raises(RuntimeError, match="Missing key"):
        TrainedNetwork.from_pretrained(str(tmp_path))
