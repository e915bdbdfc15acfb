"""What a trained row sees in photographs: the same as its evaluation, in files that say what they hold."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgr.cli import main
from sgr.datasets import describe
from sgr.evaluation.inference import single_and_multi_scale
from sgr.files import write_bytes
from sgr.models import weights_file
from sgr.models.network import Network, build
from sgr.plan import entry
from sgr.report.palette import colour
from sgr.use.photographs import photographs, read, shrunk
from tests import tiny_row
from tests.scratch import ROOT, write_parameters

ROWS = ("camvid-fcn-sgr", "camvid-fcn")
REGIONS, PLAIN = ROWS
CLASSES = describe("camvid").classes


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parameters, and a plan of two rows with random weights where their training would have left them."""
    root = tmp_path_factory.mktemp("project")
    write_parameters(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for row in ROWS:
            planned = tiny_row.entries()[f"evaluate/{row}"]
            settings = tiny_row.evaluation(row)
            entry.write(replace(planned, settings=settings), "mini", "evaluate", row)
            torch.manual_seed(0)
            state = build(settings.seen.network).state_dict()
            write_bytes(root / f"work/mini/train/{row}/0/model.safetensors", weights_file.packed(state))
    rng = np.random.default_rng(0)
    for name, size in {"wide.jpg": (61, 93, 3), "tall.png": (70, 45, 3)}.items():
        (root / "photos").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(root / "photos" / name)
    return root


def evaluated(project: Path, row: str, photo: np.ndarray) -> np.ndarray:
    """The classes (H, W) that the evaluation of the row finds."""
    seen = tiny_row.evaluation(row).seen
    network: Network = build(seen.network).eval()
    network.load_state_dict(weights_file.read(project / f"work/mini/train/{row}/0/model.safetensors"))
    images = torch.from_numpy(photo).permute(2, 0, 1)[None]
    single, _ = single_and_multi_scale(
        network, images, photo.shape[:2], resize=seen.resize, scales=(), flip=False
    )
    return single[0].numpy()


def sgr(project: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "argv", ["sgr", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def test_labels_are_those_of_the_evaluation_in_the_colours_of_the_dataset(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sgr(project, monkeypatch, "predict", REGIONS, "photos", "--out", str(tmp_path)) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    for name in ("wide.jpg", "tall.png"):
        photo, folder = read(project / "photos" / name), tmp_path / Path(name).stem
        labels = Image.open(folder / "labels.png")
        assert labels.mode == "P" and np.array_equal(labels, evaluated(project, REGIONS, photo))
        official = np.array(describe("camvid").palette, dtype=np.uint8)
        assert np.array_equal(labels.convert("RGB"), colour(np.array(labels), official))
        told = json.loads((folder / "shares.json").read_text())
        assert (told["image"], told["height"], told["width"]) == (name, *photo.shape[:2])
        counts = np.bincount(np.array(labels).ravel(), minlength=len(CLASSES)) / np.array(labels).size
        assert told["shares"] == {CLASSES[i]: counts[i] for i in np.flatnonzero(counts)}
        assert "Dil-FCN + SGR with tiny ResNet, trained on generated images" in told["network"]
        assert {path.name for path in folder.iterdir()} == {
            *("labels.png", "overlay.png", "regions.png", "shares.json")
        }
        overlay = Image.open(folder / "overlay.png")
        assert overlay.height > photo.shape[0] and overlay.width >= photo.shape[1]


def test_a_row_without_regions_draws_none(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sgr(project, monkeypatch, "predict", PLAIN, "photos/w*.jpg", "--out", str(tmp_path), "--cpu") == 0
    assert {path.name for path in tmp_path.glob("*/*")} == {"labels.png", "overlay.png", "shares.json"}


def test_a_photo_above_the_longest_side_is_seen_smaller_and_answered_at_its_size(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("photos/wide.jpg", "--longest", "48", "--out", str(tmp_path))
    assert sgr(project, monkeypatch, "predict", REGIONS, *arguments) == 0
    small = evaluated(project, REGIONS, shrunk(read(project / "photos/wide.jpg"), 48)).astype(np.uint8)
    assert small.shape == (31, 48)
    labels = np.array(Image.open(tmp_path / "wide/labels.png"))
    assert np.array_equal(labels, Image.fromarray(small).resize((93, 61), Image.Resampling.NEAREST))


def test_photos_are_read_as_they_are_shown(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read(tmp_path / "turned.png"), np.rot90(pixels, -1))
    Image.fromarray(pixels).convert("RGBA").save(tmp_path / "transparent.png")
    assert np.array_equal(read(tmp_path / "transparent.png"), pixels)
    for mode in ("L", "P", "1"):
        Image.fromarray(pixels).convert(mode).save(tmp_path / f"{mode}.png")
        assert read(tmp_path / f"{mode}.png").shape == (2, 4, 3)


def test_files_folders_and_patterns_are_found_once_each(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    wide, tall = Path("photos/wide.jpg"), Path("photos/tall.png")
    assert photographs(["photos"]) == photographs(["photos/*"]) == [tall, wide]
    assert photographs(["photos/wide.jpg", "photos", "./photos/wide.jpg"]) == [wide, tall]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-row", "photos"], "params/rows.yaml: there is no row 'no-such-row', the rows are "),
        (["coco-sgr", "photos"], "row coco-sgr is a detector of Table 3: name a row that segments"),
        (["camvid-fcn", "photos", "--seed", "7"], "row camvid-fcn has no seed 7 in profile mini: use 0"),
        (["camvid-fcn", "photos", "--profile", "huge"], "there is no profile 'huge': use one of mini, "),
        (["camvid-fcn", "nothing.jpg"], "there is no file nothing.jpg"),
        (["camvid-fcn", "nothing*"], "no file matches nothing*"),
        (["camvid-fcn", "params"], "the folder params holds no .jpg, .jpeg or .png file"),
        (["camvid-fcn", "params.yaml"], "params.yaml is truncated or is not a PNG or JPEG file"),
        (["camvid-fcn", "deep.png"], "deep.png has more than 8 bits a channel"),
        (["camvid-fcn", "photos", "wide.png"], "photos/wide.jpg and wide.png have one name"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    sentence: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(project / "deep.png")
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(project / "wide.png")
    assert sgr(project, monkeypatch, "predict", *arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {sentence}") and told.count("\n") == 1
    assert not (project / "predictions").exists()


def test_a_row_that_is_not_trained_or_has_other_weights_is_refused_by_both_commands(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = tiny_row.entries()["evaluate/camvid-fcn-glore"]
    monkeypatch.chdir(project)
    entry.write(planned, "mini", "evaluate", "camvid-fcn-glore")
    for command in (["predict", "camvid-fcn-glore", "photos"], ["export", "camvid-fcn-glore"]):
        assert sgr(project, monkeypatch, *command) == 2
        said = capsys.readouterr().err
        assert said.startswith(
            "error: row camvid-fcn-glore is not trained in profile mini: run `python -m sgr repro"
        )
    weights = project / "work/mini/train/camvid-fcn-glore/0/model.safetensors"
    write_bytes(weights, (project / "work/mini/train/camvid-fcn/0/model.safetensors").read_bytes())
    assert sgr(project, monkeypatch, "export", "camvid-fcn-glore") == 2
    assert "holds another network than row camvid-fcn-glore has now" in capsys.readouterr().err
    assert not (project / "exports").exists()


def test_a_training_of_another_plan_is_told(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Path("work/mini/plan/train/camvid-fcn.json")
    lock = f"stages:\n  train@mini:\n    deps:\n    - {{path: {plan}, md5: 0123, size: 1}}\n"
    write_bytes(project / "stages/camvid/camvid-fcn/dvc.lock", lock.encode())
    write_bytes(project / plan, b"{}")
    assert sgr(project, monkeypatch, "predict", PLAIN, "photos/wide.jpg", "--out", str(tmp_path)) == 0
    said = capsys.readouterr().err
    assert said.startswith("camvid-fcn: its settings or its code have changed since it was trained: ")


def test_the_commands_of_the_page_are_those_there_are(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first as it stands, of the photographs that it names; the second writes the folder that the page loads."""
    text = (ROOT / "docs/use.md").read_text()
    predict, export = re.findall(r"^python -m (sgr .*)$", text, re.MULTILINE)
    rng = np.random.default_rng(1)
    for name in ("photo.jpg", "holidays/beach.png", "more/one.png"):
        (project / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(project / name)
    try:
        assert sgr(project, monkeypatch, *shlex.split(predict)[1:]) == 0
        made = {str(path.parent.relative_to(project)) for path in project.glob("predictions/**/labels.png")}
        assert made == {f"predictions/camvid-fcn-sgr/{name}" for name in ("photo", "beach", "one")}
    finally:
        shutil.rmtree(project / "predictions", ignore_errors=True)
    # what it writes is tested in test_use_export.py
    written: list[Path] = []
    monkeypatch.setattr("sgr.use.export.export", lambda network, folder: written.append(folder) or [])
    assert sgr(project, monkeypatch, *shlex.split(export)[1:]) == 0
    assert [str(path.relative_to(project)) for path in written] == ["exports/camvid-fcn-sgr"]
    assert f'from_pretrained("{written[0].relative_to(project)}")' in text
