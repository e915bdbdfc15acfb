"""The stage `download` as a user runs it: killed, refused, and begun again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgr.datasets import describe
from sgr.download import present
from sgr.files import write_json
from sgr.jobs.job import Code, plain
from sgr.plan.entry import Entry
from sgr.plan.stage_settings import DownloadSettings, GeneratedImages
from tests.fault_server import Answer, serving
from tests.scratch import ROOT, environment
from tests.toy_dataset import RANDOM, zipped

ARCHIVE = describe("camvid").archives[0].name


def camvid_archive() -> bytes:
    """GitHub's archive of the SegNet tutorial, with few and small images."""
    files, top = {}, ARCHIVE.removesuffix(".zip")
    for split in ("train", "val", "test"):
        for number in range(2):
            image, label = io.BytesIO(), io.BytesIO()
            Image.fromarray(RANDOM.integers(0, 256, (150, 200, 3), dtype=np.uint8)).save(image, "PNG")
            Image.fromarray(RANDOM.integers(0, 12, (150, 200), dtype=np.uint8)).save(label, "PNG")
            files[f"{top}/CamVid/{split}/{number}.png"] = image.getvalue()
            files[f"{top}/CamVid/{split}annot/{number}.png"] = label.getvalue()
    return zipped({f"{top}/README.md": b"SegNet", f"{top}/CamVid/train.txt": b"/SegNet/CamVid", **files})


def plan(root: Path, images: GeneratedImages | None = None, subset: int | None = None) -> None:
    """Plan CamVid alone: the real one, so many images of each of its splits, or a generated one."""
    path = root / "work/small/plan/download/camvid.json"
    part = dict.fromkeys(("train", "val", "test"), subset) if subset else None
    write_json(path, plain(Entry(DownloadSettings("camvid", images, part), Code())))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder in which the command runs with this checkout's code."""
    root = tmp_path / "project"
    plan(root)
    (root / "dvc.yaml").touch()
    return root


def start(root: Path, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "stages.download", "small", "camvid"]
    whole = environment(root, PYTHONPATH=str(ROOT), **variables)
    return subprocess.Popen(command, cwd=root, env=whole, text=True, stdout=-1, stderr=-1)


def test_killed_command(project: Path) -> None:
    """SIGKILL in the middle of the body; the second command asks for the rest and writes the manifest."""
    plan(project, subset=2)
    name, content = ARCHIVE, camvid_archive()
    with serving({name: content}) as server:
        server.answers = [Answer(hold=len(content) // 2)]
        part = project / "data/camvid" / present.UNFINISHED / f"{name}.part"
        first = start(project, SGR_MIRROR=server.address)
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        first.kill()
        first.communicate()
        reached = part.stat().st_size
        assert 0 < reached < len(content)
        assert not (project / "work/small/data").exists()
        second = start(project, SGR_MIRROR=server.address)
        _, err = second.communicate()
        assert second.returncode == 0, err
        assert server.requests[1] == (name, f"bytes={reached}-", 206)
    manifest = (project / "work/small/data/camvid.json").read_text()
    assert manifest.count('"id"') == 6
    folder = project / "data/camvid"
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert (folder / "train.txt").exists() and not (folder / "README.md").exists()


def test_killed_generation(project: Path) -> None:
    """What it had drawn is gone after the second command, and so is every hidden folder."""
    plan(project, GeneratedImages({"train": 30, "val": 2, "test": 2}, (64, 64), seed=0))
    generated = project / "data/generated"
    first = start(project)
    while not list(generated.glob(".camvid/.*/train/*")):
        assert first.poll() is None
        time.sleep(0.005)
    first.kill()
    first.communicate()
    assert [path.name for path in generated.iterdir()] == [".camvid"]
    assert start(project).communicate()[1] == ""
    (folder,) = generated.iterdir()
    assert len(list(folder.glob("train/*.png"))) == 30 and not list(folder.glob(".*"))


def test_a_part_is_no_dataset(project: Path, tmp_path: Path) -> None:
    """Refused as the whole, by a sentence that says what to write; taken where it is asked for, if there is enough."""
    (tmp_path / "sets").mkdir()
    archive = tmp_path / "sets" / ARCHIVE
    archive.write_bytes(camvid_archive())
    made = project / "work/small/data/camvid.json"
    ended = start(project, SGR_DATA=str(tmp_path / "sets"))
    assert ended.communicate()[1].splitlines()[-1] == (
        "error: camvid: 365 of 367 images of train are missing or empty (some of train/): extract "
        f"{ARCHIVE} again (and 5 more, which make data-check names), or ask for N images of each split by "
        "`subset: {camvid: N}` in params/profiles/small.yaml"
    )
    assert ended.returncode == 2 and not made.exists()
    plan(project, subset=3)
    ended = start(project, SGR_DATA=str(tmp_path / "sets"))
    folder = tmp_path / "sets/camvid"
    assert ended.communicate()[1].splitlines()[-1] == (
        f"error: camvid: {folder} holds 2 of the 3 samples of train that `subset` asks for"
    )
    assert ended.returncode == 2 and not made.exists()
    (folder / "valannot/1.png").unlink()
    plan(project, subset=1)
    ended = start(project, SGR_DATA=str(tmp_path / "sets"))
    assert ended.communicate() is not None and ended.returncode == 0
    assert [len(samples) for samples in json.loads(made.read_text())["splits"].values()] == [1, 1, 1]


def test_command_that_cannot(project: Path, tmp_path: Path) -> None:
    ended = start(project, SGR_MIRROR=str(tmp_path))
    _, err = ended.communicate()
    assert ended.returncode == 2 and err.startswith("error: ") and len(err.splitlines()) == 1, err
    assert not (project / "work/small/data").exists()
