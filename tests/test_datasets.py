"""Descriptions: each agrees with its reader and its layout, and a new one is known everywhere at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import grimp
import pytest

from sgr import kinds
from sgr.data import reader
from sgr.datasets import describe, names
from sgr.errors import UserError
from sgr.files import read_json
from sgr.generated.painter import ROLES
from tests.scratch import copy_checkout, run, stage, write_parameters

CLASSES = {"ade20k": 150, "camvid": 11, "cityscapes": 19, "coco": 80, "cocostuff10k": 171}


def test_names() -> None:
    assert names() == tuple(CLASSES)
    with pytest.raises(UserError, match=f"there is no dataset 'cocoa': use one of {', '.join(CLASSES)}$"):
        describe("cocoa")


@pytest.mark.parametrize("name", names())
def test_classes(name: str) -> None:
    about = describe(name)
    assert len(about.classes) == len(set(about.classes)) == CLASSES[name]
    assert all(one == one.strip() for one in about.classes)
    assert len(about.palette) == len(set(about.palette)) and len(about.palette) in (0, len(about.classes))
    assert set(about.things) <= set(about.classes)
    assert bool(about.things) == (about.label_maps and hasattr(reader(name), "read_instances"))
    assert about.label_maps == hasattr(reader(name), "read_label")


@pytest.mark.parametrize("name", names())
def test_layout_is_that_of_the_reader(name: str) -> None:
    """Every archive is asked for by some part, and every split that is read has its official number of images."""
    about = describe(name)
    parts = list(about.layout(Path()))
    named = {part.archive for part in parts} | set(about.single_files.values())
    assert named == {archive.name for archive in about.archives}
    found: Counter[str] = Counter()
    for part in parts:
        found[part.split] += part.files * (part.kind == "image" and part.needed)
    assert +found == {split: images for split, (images, _) in about.splits.items()}
    assert tuple(about.splits) == reader(name).SPLITS


@pytest.mark.parametrize("name", names())
def test_roles(name: str) -> None:
    generated = describe(name).generated
    assert generated and len(generated.roles) == len(ROLES)
    assert set(generated.roles) <= {*describe(name).classes, None}


def test_jobs_do_not_import_them() -> None:
    """A new dataset, another title or another address leaves every finished job as it is."""
    graph = grimp.build_graph("sgr", cache_dir=None, exclude_type_checking_imports=True)
    for kind in kinds.KINDS.values():
        imported = graph.find_upstream_modules(kind.module)
        apart = ("sgr.datasets", "sgr.download", "sgr.generated")
        assert [name for name in imported if name.startswith(apart)] == [], kind.name


def test_describing_loads_no_library() -> None:
    code = (
        "import sys; from sgr.datasets import describe, names; [describe(name) for name in names()]; "
        "sys.exit(bool({'numpy', 'PIL', 'scipy', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


READER = '''"""Gardens: <split>/<name>.png and <split>/<name>.ids.png, 0 lawn, 1 pond, 2 else."""

import numpy as np

from sgr.data.files import IGNORE, INVALID, list_files, pair, read_ids, train_ids

SPLITS = ("train", "val")

TABLE = np.full(256, INVALID, dtype=np.uint8)
TABLE[:3] = 0, 1, IGNORE


def index(root, split, whole=True):
    files = list_files(root / split, ".png")
    labels = {name.removesuffix(".ids"): path for name, path in files.items() if name.endswith(".ids")}
    return pair({name: path for name, path in files.items() if ".ids" not in name}, labels, ".png", ".ids.png", whole)


def read_label(path):
    return train_ids(read_ids(path), TABLE, path, "a garden's labels are 0, 1 and 2")
'''
DESCRIPTION = '''"""Gardens."""

from sgr.datasets import Description, Generated, Split
from sgr.download.layout import Archive, Part

SPLITS = {"train": Split(3, (48, 64)), "val": Split(2, (48, 64))}


def layout(root):
    for split, (files, _) in SPLITS.items():
        ids = {f"{number}.ids" for number in range(files)}
        yield Part(split, split, (".png",), 2 * files, "gardens.zip", "image", lambda _, ids=ids: ids)


def write(root, split, number, scene):
    import numpy as np

    from sgr.generated.writing import write_image

    write_image(root / split / f"{number}.png", scene.image)
    write_image(root / split / f"{number}.ids.png", np.minimum(scene.label, 2))


DESCRIPTION = Description(
    title="Gardens",
    classes=("lawn", "pond"),
    splits=SPLITS,
    archives=(Archive("gardens.zip", "http://203.0.113.1/never-asked", ("train", "val"), 0.001),),
    layout=layout,
    generated=Generated((None, "pond", None, "lawn", *[None] * 7), write),
)
'''


def test_a_new_dataset_takes_two_files(tmp_path: Path) -> None:
    """And its splits in params.yaml: the plan, the stage and the command then know it as they are."""
    root = copy_checkout(tmp_path / "copy")
    (root / "sgr/data/garden.py").write_text(READER)
    (root / "sgr/datasets/garden.py").write_text(DESCRIPTION)
    splits = {"train": "train", "evaluate": ["val"], "semantics": "val", "jitter": 0.0}
    images = {"images": {"train": 3, "test": 2}, "size": [48, 64], "seed": 0}
    for profile in ("small", "mini"):
        changes = {"profile": profile, "datasets.garden": splits, "profiles.mini.generated": images}
        write_parameters(root, changes)
        if profile == "small":  # the pipeline files are the same for all profiles
            assert run(root, sys.executable, "-m", "sgr", "pipeline").returncode == 0
        assert stage(root, "plan").returncode == 0

    ended = stage(root, "download", "mini", "garden")
    assert ended.returncode == 0, ended.stderr
    (generated,) = (root / "data/generated").iterdir()
    shutil.make_archive(str(tmp_path / "mirror/gardens"), "zip", generated)
    ended = stage(root, "download", "small", "garden", SGR_MIRROR=str(tmp_path / "mirror"))
    assert ended.returncode == 0 and "warning" not in ended.stdout, ended.stdout + ended.stderr
    made = [read_json(root / "work" / profile / "data/garden.json") for profile in ("mini", "small")]
    assert made[0] == made[1] and [len(made[0]["splits"][split]) for split in ("train", "val")] == [3, 2]

    ended = run(root, sys.executable, "-m", "sgr", "data-check")
    assert "  whole\n" in ended.stdout and "garden: " in ended.stdout and ended.returncode == 0
    (root / "data/garden/val/1.ids.png").unlink()
    ended = run(root, sys.executable, "-m", "sgr", "data-check", "garden")
    assert (
        ended.returncode == 1 and "1 of 4 images of val is missing or empty (val/1.ids.png)" in ended.stdout
    )
    ended = run(root, sys.executable, "-m", "sgr", "data-check", "gardens")
    assert "use one of ade20k, camvid, cityscapes, coco, cocostuff10k, garden\n" in ended.stderr
