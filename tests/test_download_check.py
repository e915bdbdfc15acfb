"""`make data-check`: whole layouts of full size pass, and whatever is missing is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sgr.datasets import describe, names
from sgr.download.check import check, count
from sgr.download.present import UNFINISHED
from sgr.generated.generate import generate
from tests.scratch import ROOT, environment


def whole(name: str, root: Path) -> Path:
    """A dataset's layout with its official number of files, all of them links to a few small ones."""
    root.mkdir()
    pixels = np.zeros((4, 5), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "label.png")
    Image.fromarray(pixels.astype(np.uint16)).save(root / "instances.png")
    Image.fromarray(np.zeros((4, 5, 3), dtype=np.uint8)).save(root / "image.png")
    Image.fromarray(np.zeros((4, 5, 3), dtype=np.uint8)).save(root / "image.jpg")
    savemat(root / "label.mat", {"S": pixels})
    for part in describe(name).layout(root):
        folder, suffix = root / part.folder, part.suffixes[0]
        folder.mkdir(parents=True, exist_ok=True)
        listed = part.names(root)
        if name not in ("ade20k", "coco"):
            listed = {f"{part.split}_{number:06d}" for number in range(part.files)}
        for stem in listed:
            os.link(root / f"{part.kind}.{suffix.split('.')[-1]}", folder / f"{stem}{suffix}")
    if name == "cocostuff10k":
        (root / "imageLists").mkdir()
        for split, files in (("train", 9000), ("test", 1000)):
            lines = "".join(f"{split}_{number:06d}\n" for number in range(files))
            (root / "imageLists" / f"{split}.txt").write_text(lines)
    return root


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.mark.parametrize(
    ("name", "images", "official"),
    [
        ("ade20k", "image", {"train": 20210, "val": 2000}),
        ("camvid", "image", {"train": 367, "val": 101, "test": 233}),
        ("cityscapes", "image", {"train": 2975, "val": 500, "test": 1525}),
        ("cityscapes", "instances", {"train": 2975, "val": 500}),
        ("cocostuff10k", "label", {"train": 9000, "test": 1000}),
        ("coco", "image", {"train2017": 118287, "val2017": 5000}),
    ],
)
def test_official_numbers(name: str, images: str, official: dict[str, int], tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    for part in describe(name).layout(tmp_path):
        found[part.split] += part.files * (part.kind == images)
    assert +found == official


def test_ade20k(folders: Path) -> None:
    root = whole("ade20k", folders / "ade20k")
    report = check("ade20k", root)
    assert report.problems == report.notes == []
    assert report.counts["train", "label"] == (20210, 20210)
    labels = root / "ADEChallengeData2016/annotations/validation"
    (labels / "ADE_val_00000017.png").unlink()
    (labels / "ADE_val_00001999.png").unlink()
    (labels / "ADE_val_00002000.png").unlink()
    (labels / "ADE_val_00002000.png").touch()
    (root / "ADEChallengeData2016/images/training/ADE_train_99999999.jpg").write_bytes(b"x")
    assert count("ade20k", root).problems == [
        "ade20k: 1 image too many in train (ADEChallengeData2016/images/training/ADE_train_99999999.jpg): remove what "
        "does not belong there",
        "ade20k: 3 of 2000 label maps of val are missing or empty "
        "(ADEChallengeData2016/annotations/validation/ADE_val_00000017.png, "
        "ADEChallengeData2016/annotations/validation/ADE_val_00001999.png, "
        "ADEChallengeData2016/annotations/validation/ADE_val_00002000.png): extract ADEChallengeData2016.zip again",
    ]
    # as many as there should be, but another one
    (root / "ADEChallengeData2016/images/training/ADE_train_00000001.jpg").unlink()
    missing, extra, _ = count("ade20k", root).problems
    assert "1 of 20210 images of train is missing or empty" in missing and "ADE_train_00000001.jpg" in missing
    assert "1 image too many in train" in extra and "ADE_train_99999999.jpg" in extra


def test_cityscapes(folders: Path) -> None:
    root = whole("cityscapes", folders / "cityscapes")
    assert check("cityscapes", root)[1:] == ([], [])
    for path in (root / "leftImg8bit/test/bonn").iterdir():
        path.unlink()
    (root / "gtFine/train/zurich/train_000007_gtFine_instanceIds.png").unlink()
    # a partner is named by the other; where both are gone, the number alone tells
    (root / "leftImg8bit/val/lindau/val_000003_leftImg8bit.png").unlink()
    (root / "gtFine/val/lindau/val_000003_gtFine_labelIds.png").unlink()
    (root / "gtFine/val/lindau/val_000003_gtFine_instanceIds.png").unlink()
    report = count("cityscapes", root)
    assert [sentence.split(": ", 1)[1] for sentence in report.problems] == [
        "1 of 2975 maps of instances of train is missing or empty "
        "(gtFine/train/zurich/train_000007_gtFine_instanceIds.png): extract gtFine_trainvaltest.zip again",
        "1 of 500 images of val is missing or empty (some of leftImg8bit/val/lindau/): extract "
        "leftImg8bit_trainvaltest.zip again",
        "1 of 500 label maps of val is missing or empty (some of gtFine/val/lindau/): extract "
        "gtFine_trainvaltest.zip again",
        "1 of 500 maps of instances of val is missing or empty (some of gtFine/val/lindau/): extract "
        "gtFine_trainvaltest.zip again",
    ]
    assert report.notes == [
        "cityscapes: 46 of 1525 images of test are missing or empty "
        "(leftImg8bit/test/bonn/test_000000_leftImg8bit.png, leftImg8bit/test/bonn/test_000001_leftImg8bit.png, "
        "leftImg8bit/test/bonn/test_000002_leftImg8bit.png and 43 more): extract leftImg8bit_trainvaltest.zip again"
    ]
    assert report.counts["test", "image"] == (1525 - 46, 1525)


def test_cities(folders: Path) -> None:
    """Absent ones are one sentence a kind and split, and a folder beside them is named, since it would be read."""
    root = folders / "cityscapes"
    kept = folders / "kept"
    for top in ("leftImg8bit", "gtFine"):
        (kept / top).mkdir(parents=True)
        (root / top / "train").rename(kept / top / "train")
        (root / top / "train").mkdir()
        (kept / top / "train/ulm").rename(root / top / "train/elsewhere")
        (root / top / "train/.hidden").mkdir()
    (root / "gtFine/val/notes").mkdir()
    problems = [one for one in count("cityscapes", root).problems if " val " not in one]
    assert problems == [
        sentence
        for kind, top in (
            ("images", "leftImg8bit"),
            ("label maps", "gtFine"),
            ("maps of instances", "gtFine"),
        )
        for sentence in (
            f"cityscapes: 2975 of 2975 {kind} of train are missing or empty ({top}/train/aachen/, {top}/train/bochum/, "
            f"{top}/train/bremen/ and 15 more): extract {top}_trainvaltest.zip again",
            f"cityscapes: 95 {kind} too many in train ({top}/train/elsewhere/): remove what does not belong there",
        )
    ]


def test_cocostuff10k(folders: Path) -> None:
    root = whole("cocostuff10k", folders / "cocostuff10k")
    assert check("cocostuff10k", root)[1:] == ([], [])
    (root / "images/more.jpg").write_bytes(b"x")
    assert count("cocostuff10k", root)[1:] == ([], ["cocostuff10k: 1 image in no list (images/more.jpg)"])
    (root / "annotations/test_000999.mat").unlink()
    (root / "imageLists/train.txt").unlink()
    problems = count("cocostuff10k", root).problems
    assert "cocostuff10k: imageLists/train.txt is missing: extract cocostuff-10k-v1.1.zip again" in problems
    assert problems[1:] == [
        "cocostuff10k: 1 of 1000 label maps of test is missing or empty (annotations/test_000999.mat): extract "
        "cocostuff-10k-v1.1.zip again"
    ]


def test_coco(tmp_path: Path) -> None:
    """What the annotations list is looked for; a caption or a file name elsewhere in the JSON is no image."""
    root = tmp_path / "coco"
    for split, files in (("train2017", 3), ("val2017", 2)):
        (root / split).mkdir(parents=True)
        (root / "annotations").mkdir(exist_ok=True)
        images = [
            {"id": n, "file_name": f"{n:012d}.jpg", "coco_url": "http://x/file_name.jpg"}
            for n in range(files)
        ]
        (root / f"annotations/instances_{split}.json").write_text(json.dumps({"images": images}))
        for n in range(files):
            Image.new("RGB", (5, 4)).save(root / split / f"{n:012d}.jpg")
    (root / "train2017/000000000002.jpg").unlink()
    report = count("coco", root)
    assert report.counts == {("train2017", "image"): (2, 118287), ("val2017", "image"): (2, 5000)}
    assert report.problems[0] == (
        "coco: 118285 of 118287 images of train2017 are missing or empty (train2017/000000000002.jpg, some of "
        "train2017/): extract train2017.zip again"
    )
    (root / "annotations/instances_val2017.json").unlink()
    assert any("instances_val2017.json is missing" in sentence for sentence in count("coco", root).problems)


def test_nothing_there(tmp_path: Path) -> None:
    for name in names():
        (sentence,) = check(name, tmp_path / name).problems
        assert str(tmp_path / name) in sentence and f"download@{name}" in sentence
        (tmp_path / name / UNFINISHED).mkdir(parents=True)
        problems = check(name, tmp_path / name).problems
        assert "interrupted" in problems[0] and len(problems) == 1 + len(describe(name).archives)
        found = zip(describe(name).archives, problems[1:], strict=True)
        assert all(archive.name in said for archive, said in found)


def test_sizes(tmp_path: Path) -> None:
    """Of an image and its label map, and of an image and what the annotations say of it, where all are decoded."""
    for name, splits in (("camvid", ("train", "val", "test")), ("coco", ("train2017", "val2017"))):
        generate(name, tmp_path / name, dict.fromkeys(splits, 2), (32, 40), seed=0)
    for name, place, partner in (
        ("camvid", "train/0001TP_000001.png", "trainannot/0001TP_000001.png"),
        ("coco", "train2017/000000000002.jpg", "annotations/instances_train2017.json"),
    ):
        root = tmp_path / name
        plenty = check(name, root, deep=True).problems
        assert not [one for one in plenty if "pixels" in one]
        image = Image.open(root / place)
        width, height = image.size
        image.resize((20, 10)).save(root / place)
        said = [one for one in check(name, root, deep=True).problems if "pixels" in one]
        (sentence,) = said
        assert f"{width}x{height}" in sentence and "20x10" in sentence
        assert str(root / place) in sentence and str(root / partner) in sentence


def test_two_files_of_one_image(project: dict[str, Any], folders: Path) -> None:
    """The reader would refuse them."""
    copy = folders / "camvid/train/train_000004.jpg"
    copy.write_bytes(b"x")
    try:
        (sentence,) = count("camvid", folders / "camvid").problems
    finally:
        copy.unlink()
    assert "1 image too many in train (train/train_000004.png)" in sentence


def test_name_that_is_no_text(tmp_path: Path) -> None:
    """It can be printed."""
    generate("camvid", tmp_path, {"train": 1, "val": 1, "test": 1}, (32, 40), seed=0)
    (path,) = (tmp_path / "train").iterdir()
    path.rename(path.with_name(os.fsdecode(b"caf\xe9.png")))
    said = "\n".join(check("camvid", tmp_path, deep=True).problems)
    assert "trainannot/caf\\udce9.png" in said
    said.encode()


@pytest.fixture(scope="module")
def project(folders: Path) -> dict[str, Any]:
    """CamVid of full size, and how to run the command on it."""
    whole("camvid", folders / "camvid")
    root = folders / "project"
    root.mkdir()
    (root / "dvc.yaml").touch()
    return {"cwd": root, "env": environment(root, PYTHONPATH=str(ROOT), SGR_DATA=str(folders))}


def data_check(project: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sgr", "data-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **project)


def test_command(project: dict[str, Any], folders: Path) -> None:
    ended = data_check(project, "camvid")
    assert ended.returncode == 0 and ended.stderr == ""
    assert "367 of 367 images in train" in ended.stdout and ended.stdout.endswith("  whole\n")

    # a few files of each folder are decoded: the last one is among them, the second is not
    for number, found_by in ((366, ()), (1, ("--deep",))):
        path = folders / f"camvid/trainannot/train_{number:06d}.png"
        kept = path.read_bytes()
        path.unlink()
        path.write_bytes(kept[: len(kept) // 2])
        if found_by:
            assert data_check(project, "camvid").returncode == 0
        ended = data_check(project, "camvid", *found_by)
        assert ended.returncode == 1 and f"{path} is truncated" in ended.stdout
        path.write_bytes(kept)
    assert data_check(project, "camvid", "--deep").returncode == 0


def test_command_without_names(project: dict[str, Any], folders: Path) -> None:
    """Those that are there; those that are not are no failure, unless they are asked for."""
    assert "coco: not on this machine" in data_check(project).stdout
    ended = data_check(project, "coco")
    assert ended.returncode == 1 and f"there is no folder {folders / 'coco'}" in ended.stdout
    ended = data_check(project, "cocoa")
    assert ended.returncode == 2 and ended.stderr.startswith("error: there is no dataset 'cocoa'")
