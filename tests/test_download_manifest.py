"""The manifest verifies every sample, and its quick check finds what changed since."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sgr.data import manifest, reader
from sgr.download.manifest import make
from sgr.errors import UserError
from sgr.generated.generate import generate


@pytest.fixture
def camvid(tmp_path):
    generate("camvid", tmp_path / "camvid", {"train": 3, "val": 2, "test": 1}, (40, 50), seed=1)
    return tmp_path / "camvid"


def test_manifest_describes_every_file(camvid):
    made = make(camvid, "camvid")
    assert json.loads(json.dumps(made)) == made == make(camvid, "camvid")
    assert made["dataset"] == "camvid"
    assert {split: len(entries) for split, entries in made["splits"].items()} == {
        "train": 3,
        "val": 2,
        "test": 1,
    }
    entry = made["splits"]["train"][0]
    assert (entry["id"], entry["image"], entry["label"]) == (
        "0001TP_000000",
        "train/0001TP_000000.png",
        "trainannot/0001TP_000000.png",
    )
    assert entry["size"] == [40, 50]
    image = (camvid / entry["image"]).read_bytes()
    assert (entry["bytes"][0], entry["sha256"][0]) == (len(image), hashlib.sha256(image).hexdigest())


def test_samples_of_a_manifest_are_those_of_the_index(camvid, tmp_path):
    made = make(camvid, "camvid")
    assert manifest.samples(camvid, made, "val") == reader("camvid").index(camvid, "val")
    moved = camvid.rename(tmp_path / "moved")
    assert manifest.samples(moved, made, "val") == reader("camvid").index(moved, "val")
    with pytest.raises(UserError, match="camvid has no split 'dev'"):
        manifest.samples(moved, made, "dev")


def test_a_subset_is_the_same_whatever_else_is_there(tmp_path):
    """More hold the fewer; a folder of the chosen alone gives the same; of another part it takes what is there."""
    root = tmp_path / "camvid"
    generate("camvid", root, {"train": 12, "val": 4, "test": 4}, (40, 50), seed=1)
    few, more = (make(root, "camvid", {"train": train, "val": 2, "test": 4}) for train in (3, 7))
    ids = [[entry["id"] for entry in made["splits"]["train"]] for made in (few, more)]
    assert [len(chosen) for chosen in ids] == [3, 7] and set(ids[0]) < set(ids[1])
    assert ids[1] == sorted(ids[1]) != [f"0001TP_{number:06d}" for number in range(7)]
    assert [len(few["splits"][split]) for split in ("val", "test")] == [2, 4]
    for path in (root / "train").iterdir():
        if path.stem not in ids[1]:
            path.unlink()
    assert make(root, "camvid", {"train": 3, "val": 2, "test": 4}) == few
    (root / "trainannot" / f"{ids[0][1]}.png").unlink()
    (root / "val" / "half.png").write_bytes(b"")
    another = make(root, "camvid", {"train": 3, "val": 2, "test": 4})["splits"]
    left = [entry["id"] for entry in another["train"]]
    assert set(left) > set(ids[0]) - {ids[0][1]} and set(left) < set(ids[1])
    assert another["val"] == few["splits"]["val"]
    with pytest.raises(
        UserError,
        match=r"^camvid: .*camvid holds 6 of the 7 samples of train that `subset` asks for$",
    ):
        make(root, "camvid", {"train": 7, "val": 2, "test": 4})


def test_broken_samples_are_named(camvid):
    image, label = camvid / "train/0001TP_000001.png", camvid / "trainannot/0001TP_000001.png"
    whole_image, whole_label = image.read_bytes(), label.read_bytes()

    image.write_bytes(whole_image[: len(whole_image) // 2])
    with pytest.raises(UserError, match=r"train/0001TP_000001\.png is truncated"):
        make(camvid, "camvid")
    image.write_bytes(whole_image)

    Image.fromarray(np.full((40, 50), 77, dtype=np.uint8)).save(label)
    with pytest.raises(UserError, match=r"trainannot/0001TP_000001\.png holds the label 77"):
        make(camvid, "camvid")

    Image.fromarray(np.zeros((50, 40), dtype=np.uint8)).save(label)
    with pytest.raises(
        UserError, match=r"0001TP_000001\.png has 50x40 pixels, but its label map .* has 40x50"
    ):
        make(camvid, "camvid")
    label.write_bytes(whole_label)
    make(camvid, "camvid")


def test_check_finds_missing_and_changed_files(camvid):
    made = make(camvid, "camvid")
    manifest.check(camvid, made)
    path = camvid / "test" / "0001TP_000000.png"
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(UserError, match=r"test/0001TP_000000\.png has \d+ bytes, but \d+ in the manifest"):
        manifest.check(camvid, made)
    path.unlink()
    with pytest.raises(
        UserError, match=r"test/0001TP_000000\.png is in the manifest of camvid: No such file"
    ):
        manifest.check(camvid, made)


def test_no_torch_is_imported():
    modules = "sgr.download.manifest, sgr.generated.generate, sgr.data.component_archive, sgr.data.manifest"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
