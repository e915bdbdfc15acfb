"""The examples: a unit in a network of another library, a few iterations on generated scenes and on a folder."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import torch

from examples.scenes import CLASSES, IGNORED, SIZE, accuracy, scenes
from sgr.generated.generate import generate
from tests.scratch import ROOT

NAMES = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if path.stem != "scenes")
SAID = r"pixels [\d.]+%, mIoU [\d.]+%"


@pytest.mark.parametrize("name", NAMES)
def test_example_trains_both_networks_and_says_how_well_they_do(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    importlib.import_module(f"examples.{name}").main(images=8, iterations=2)
    assert re.fullmatch(rf"plain: +{SAID}\nwith SGR: {SAID}\n", capsys.readouterr().out)
    assert len((ROOT / f"examples/{name}.py").read_text().splitlines()) < 60


@pytest.mark.parametrize("name", NAMES)
def test_unit_changes_nothing_before_training_and_learns(name: str) -> None:
    example = importlib.import_module(f"examples.{name}")
    images, _ = scenes("train", 2)
    networks = [example.Network(with_sgr).eval() for with_sgr in (False, True)]
    networks[1].load_state_dict(networks[0].state_dict(), strict=False)
    (plain, nothing), (scores, concept_logits) = (network(images) for network in networks)
    assert nothing is None
    torch.testing.assert_close(plain, scores)  # in another memory format convolutions round otherwise
    assert scores.shape == (2, CLASSES, *SIZE) and concept_logits.shape[:2] == (2, 32)
    scores.sum().backward()
    assert networks[1].unit.expand.weight.grad.abs().sum() > 0


def test_scenes_come_from_a_folder_of_camvid_as_well(tmp_path: Path) -> None:
    generate("camvid", tmp_path / "camvid", {"train": 2, "val": 1}, (48, 64), 0)
    images, labels = scenes("train", 2, tmp_path / "camvid")
    assert images.shape == (2, 3, *SIZE) and labels.shape == (2, *SIZE)
    assert labels.unique().max() == IGNORED and len(labels.unique()) > 3


def test_accuracy_is_counted_by_hand() -> None:
    labels = torch.tensor([[[0, 0, 1, IGNORED]]])
    scores = torch.nn.functional.one_hot(torch.tensor([[[0, 1, 1, 1]]]), CLASSES).permute(0, 3, 1, 2)

    class Fixed(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, None]:
            return scores, None

    assert accuracy(Fixed(), torch.zeros(1, 3, 1, 4), labels) == "pixels 66.7%, mIoU 50.0%"
