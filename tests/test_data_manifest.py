"""The manifest verifies every sample, and its quick check finds what changed since."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from sgr.data import dataset, files, manifest
from sgr.errors import UserError
from sgr.generated.generate import generate


@pytest.fixture
def camvid(tmp_path):
    generate("camvid", tmp_path / "camvid", {"train": 3, "val": 2, "test": 1}, (40, 50), seed=1)
    return tmp_path / "camvid"


def test_manifest_describes_every_file(camvid):
    made = manifest.make(camvid, "camvid")
    assert json.loads(json.dumps(made)) == made == manifest.make(camvid, "camvid")
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
    made = manifest.make(camvid, "camvid")
    assert manifest.samples(camvid, made, "val") == dataset("camvid").index(camvid, "val")
    moved = camvid.rename(tmp_path / "moved")
    assert manifest.samples(moved, made, "val") == dataset("camvid").index(moved, "val")
    with pytest.raises(UserError, match="camvid has no split 'dev'"):
        manifest.samples(moved, made, "dev")


def test_broken_samples_are_named(camvid):
    image, label = camvid / "train/0001TP_000001.png", camvid / "trainannot/0001TP_000001.png"
    whole_image, whole_label = image.read_bytes(), label.read_bytes()

    image.write_bytes(whole_image[: len(whole_image) // 2])
    with pytest.raises(UserError, match=r"train/0001TP_000001\.png is truncated"):
        manifest.make(camvid, "camvid")
    image.write_bytes(whole_image)

    Image.fromarray(np.full((40, 50), 77, dtype=np.uint8)).save(label)
    with pytest.raises(UserError, match=r"trainannot/0001TP_000001\.png holds the label 77"):
        manifest.make(camvid, "camvid")

    Image.fromarray(np.zeros((50, 40), dtype=np.uint8)).save(label)
    with pytest.raises(
        UserError, match=r"0001TP_000001\.png has 50x40 pixels, but its label map .* has 40x50"
    ):
        manifest.make(camvid, "camvid")
    label.write_bytes(whole_label)
    manifest.make(camvid, "camvid")


def test_check_finds_missing_and_changed_files(camvid):
    made = manifest.make(camvid, "camvid")
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


def test_processes_give_the_same_in_the_same_order():
    items = [(number,) for number in range(50)]
    serial = list(files.in_parallel(hex, items))
    assert serial == list(files.in_parallel(hex, items, serial_below=0))


def test_processes_run_little_ahead_of_the_caller():
    taken = []
    items = (taken.append(number) or (number,) for number in range(10_000))
    results = files.in_parallel(hex, items, serial_below=0)
    assert next(results) == "0x0"
    assert len(taken) <= files.CHUNK * files.AHEAD * len(os.sched_getaffinity(0))
    results.close()
    assert len(taken) < 10_000


def test_an_error_crosses_processes():
    with pytest.raises(UserError, match="there is no file nothing"):
        list(files.in_parallel(files.read_image, [("nothing",)] * 4, serial_below=0))


def test_workers_end_with_a_killed_process():
    code = (
        "import os, time; from sgr.data.files import in_parallel; os.sched_getaffinity = lambda _: {0, 1}\n"
        "list(in_parallel(time.sleep, [(1,)] * 400, 0))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        parent = psutil.Process(process.pid)
        while len(workers := parent.children()) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    assert psutil.wait_procs(workers, timeout=60)[1] == []


def test_no_torch_is_imported():
    modules = "sgr.data.manifest, sgr.generated.generate, sgr.data.component_archive"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
