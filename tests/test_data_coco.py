"""MS-COCO: what its loader reads equals what COCO's own reads, and every broken file is one sentence."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from sgr.data import coco, json_stream, manifest
from sgr.datasets import describe
from sgr.download.manifest import make
from sgr.errors import UserError
from sgr.generated import generate, painter
from sgr.generated.writing import write_image
from tests.scratch import copy_checkout, files_under, stage, write_parameters

SIZE = (40, 52)
CLASSES = describe("coco").classes
PERSON, DOG, TOOTHBRUSH = 1, 18, 90
Content = dict[str, Any]


def content() -> Content:
    """A file of three images in no order: one without annotations, one with a crowd, one of several parts."""
    crowd = np.zeros(SIZE, dtype=np.uint8, order="F")
    crowd[5:20, 10:40] = crowd[22:25, 3:9] = 1
    runs = np.diff(np.flatnonzero(np.diff(np.r_[2, crowd.ravel(order="F"), 2])))
    compressed = coco_mask.encode(crowd)
    compressed["counts"] = compressed["counts"].decode()
    return {
        "info": {"description": "a list [1, {2]}"},
        "annotations": [
            annotation(9, 7, PERSON, {"size": list(SIZE), "counts": runs.tolist()}, iscrowd=1),
            annotation(4, 3, DOG, [[2.5, 3.25, 20.0, 3.0, 20.0, 30.75, 2.0, 30.0]]),
            annotation(5, 7, TOOTHBRUSH, [[1, 1, 9, 1, 9, 9], [20.5, 20, 30, 20, 30, 33.3, 18, 31]]),
            annotation(11, 3, PERSON, compressed),
            annotation(2, 7, DOG, [[-3.0, 5.0, 60.0, 5.0, 60.0, 7.0, -3.0, 7.0]]),
        ],
        "images": [{"id": n, "file_name": f"{n:012d}.jpg", "height": 40, "width": 52} for n in (7, 3, 5)],
        "categories": [{"id": n, "name": "any"} for n in coco.CATEGORY_IDS],
    }


def annotation(number: int, image: int, category: int, segmentation: Any, iscrowd: int = 0) -> Content:
    entry = {"id": number, "image_id": image, "category_id": category, "segmentation": segmentation}
    return entry | {"bbox": [1.5, 2.0, 10.0, 20.0], "area": 123.5, "iscrowd": iscrowd}


def write(root: Path, made: Content, split: str = "val2017", **layout: Any) -> Path:
    for image in made["images"]:
        write_image(root / split / f"{image['id']:012d}.jpg", np.zeros((*SIZE, 3), np.uint8))
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(made, **layout))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, content())
    write(tmp_path, content(), "train2017")
    return tmp_path


def assert_equals_pycocotools(root: Path, split: str) -> int:
    """Every annotation of every image against pycocotools' own reader; returns how many there are."""
    found, theirs = coco.Annotations(root, split), COCO(coco.annotation_file(root, split))
    assert [image.id for image in found.images] == sorted(theirs.imgs)
    count = 0
    for image in found.images:
        (info,) = theirs.loadImgs(image.id)
        assert (image.path.name, image.height, image.width) == (
            info["file_name"],
            info["height"],
            info["width"],
        )
        expected = theirs.loadAnns(theirs.getAnnIds(image.id))
        instances = found.instances(image.id)
        assert [instance.id for instance in instances] == [entry["id"] for entry in expected]
        for instance, entry in zip(instances, expected, strict=True):
            assert coco.CATEGORY_IDS[instance.category] == entry["category_id"]
            assert instance.crowd == bool(entry["iscrowd"])
            assert (*instance.box, instance.area) == (*entry["bbox"], entry["area"])
            mask = instance.mask(image.height, image.width)
            assert mask.dtype == bool
            assert np.array_equal(mask, theirs.annToMask(entry))
        count += len(instances)
    return count


def test_equals_pycocotools(root: Path) -> None:
    assert assert_equals_pycocotools(root, "val2017") == 5


@pytest.mark.parametrize("layout", [{"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])
@pytest.mark.parametrize("chunk", [7, 64, 1 << 20])
def test_any_layout_and_chunk(
    layout: Content, chunk: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = content() | {"info": {"contributor": "Gänse ∑", "year": 2017}, "licenses": []}
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    path = write(root, made, **layout)
    assert assert_equals_pycocotools(root, "val2017") == 5
    raw = path.read_bytes()
    found = list(json_stream.elements(path))
    assert [json.loads(raw[one.start : one.end]) for one in found if one.key == "annotations"] == made[
        "annotations"
    ]
    assert {one.key for one in found} == {"annotations", "images", "categories"}


def test_memory_does_not_hold_the_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    polygon = [float(number) for number in range(200)]
    made = content() | {"annotations": [annotation(n, 3 + n % 2 * 4, DOG, [polygon]) for n in range(1, 4001)]}
    path = write(root, made)
    del made
    monkeypatch.setattr(json_stream, "CHUNK", 1 << 14)
    tracemalloc.start()
    found = coco.Annotations(root, "val2017")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.instances(3)) == len(found.instances(7)) == 2000
    assert peak < path.stat().st_size / 8


def test_image_without_annotations(root: Path) -> None:
    found = coco.Annotations(root, "val2017")
    assert [image.id for image in found.images] == [3, 5, 7] and len(found) == 3
    assert found.instances(5) == []
    assert [len(one.spans) for one in found] == [2, 0, 3]
    with pytest.raises(UserError, match=r"instances_val2017\.json lists no image 4$"):
        found.instances(4)


def test_no_annotation_at_all(root: Path) -> None:
    write(root, content() | {"annotations": []})
    assert [coco.Annotations(root, "val2017").instances(number) for number in (3, 5, 7)] == [[], [], []]


def test_a_part_is_these_images_with_their_annotations(root: Path) -> None:
    """Of three images two are meant, and the third need not be there."""
    whole = coco.Annotations(root, "val2017")
    images = [{"image": f"val2017/{number:012d}.jpg"} for number in (3, 7)]
    (root / "val2017" / f"{5:012d}.jpg").unlink()
    for part in (
        coco.described(root, {"splits": {"val2017": images}}, "val2017"),
        coco.index(root, "val2017", whole=False),
    ):
        assert [image.id for image in part.images] == [3, 7]
        assert all(part.instances(number) == whole.instances(number) for number in (3, 7))
        with pytest.raises(UserError, match="lists no image 5"):
            part.instances(5)
    with pytest.raises(UserError, match="lists image 5, but there is no"):
        coco.index(root, "val2017")


def test_workers_may_share_it(root: Path) -> None:
    found = coco.Annotations(root, "val2017")
    copied = pickle.loads(pickle.dumps(found))
    assert copied.images == found.images and copied.instances(7) == found.instances(7)


def test_classes() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == len(coco.CATEGORY_IDS) == 80
    assert (CLASSES[0], coco.CATEGORY_IDS[0], CLASSES[-1], coco.CATEGORY_IDS[-1]) == (
        "person",
        1,
        "toothbrush",
        90,
    )
    assert coco.CATEGORY_IDS[CLASSES.index("dog")] == 18


def broken(change: Callable[[Content], Any]) -> Content:
    made = content()
    change(made)
    return made


def of(number: int, **values: Any) -> Callable[[Content], Any]:
    """Change annotation `number`."""

    def change(made: Content) -> None:
        next(entry for entry in made["annotations"] if entry["id"] == number).update(values)

    return change


RLE = "annotation 9: the runs of its RLE do not add up to the 2080 pixels of image 7"
POLYGONS = "annotation 4: segmentation is neither an RLE nor polygons"
FAULTS = {
    "unknown category": (of(4, category_id=12), "annotation 4 has category 12, which is none of COCO's 80"),
    "category of a wrong type": (of(4, category_id=[1]), "annotation 4 has category \\[1\\]"),
    "unlisted image": (of(5, image_id=6), "annotation 5 is of image 6, which is not listed under images"),
    "short RLE": (of(9, segmentation={"size": [40, 52], "counts": [100, 20]}), RLE),
    "long RLE": (of(9, segmentation={"size": [40, 52], "counts": [2000, 200]}), RLE),
    "negative RLE": (of(9, segmentation={"size": [40, 52], "counts": [-20, 2100]}), RLE),
    "no runs": (of(9, segmentation={"size": [40, 52]}), RLE),
    "cut compressed RLE": (of(9, segmentation={"size": [40, 52], "counts": "P13700000`"}), RLE),
    "no compressed RLE": (of(9, segmentation={"size": [40, 52], "counts": "a\\u00ffb"}), RLE),
    "RLE of another size": (
        of(9, segmentation={"size": [52, 40], "counts": [2080]}),
        r"annotation 9: its RLE is of size \[52, 40\], but image 7 is \[40, 52\]",
    ),
    "two points": (of(4, segmentation=[[1, 1, 2, 2]]), POLYGONS),
    "odd polygon": (of(4, segmentation=[[1, 1, 2, 2, 3, 3, 4]]), POLYGONS),
    "no polygon": (of(4, segmentation=[]), POLYGONS),
    "polygon of words": (of(4, segmentation=[["1", "1", "2", "2", "3", "3"]]), POLYGONS),
    "box": (of(4, bbox=[1, 2, 3]), r"annotation 4: bbox is not \[x, y, width, height\] in pixels"),
    "no box": (lambda made: made["annotations"][1].pop("bbox"), "an annotation has no bbox: .'id': 4"),
    "no object": (lambda made: made["annotations"].append(5), "an annotation has no id: 5"),
    "image of a wrong type": (of(4, image_id="3"), "id or image_id of annotation 4 is no whole number"),
    "no size": (lambda made: made["images"][1].pop("height"), "an image has no height"),
    "size": (lambda made: made["images"][1].update(width="52"), "of image 3 are not whole numbers above 0"),
    "twice": (lambda made: made["images"].append(made["images"][0]), "lists image 7 twice"),
    "name": (lambda made: made["images"][1].update(file_name="../3.jpg"), "'../3.jpg', not a plain name"),
    "no images": (lambda made: made.pop("images"), "lists no image$"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_annotations(fault: str, root: Path) -> None:
    change, words = FAULTS[fault]
    write(root, content())
    path = root / "annotations" / "instances_val2017.json"
    path.write_text(json.dumps(broken(change)))
    with pytest.raises(UserError, match=f"{path}.*{words}"):
        make(root, "coco")


def test_broken_files(root: Path) -> None:
    path = root / "annotations" / "instances_val2017.json"
    whole = path.read_text()
    for text in (whole[:-1], whole[: len(whole) // 2], whole[:-1] + ",", "", "[]", whole.replace(":", "", 1)):
        path.write_text(text)
        with pytest.raises(UserError, match=r"instances_val2017\.json is truncated or is not an object"):
            make(root, "coco")
    path.unlink()
    with pytest.raises(UserError, match=r"cannot read .*instances_val2017\.json: No such file"):
        make(root, "coco")
    path.write_text(whole)
    image = root / "val2017" / "000000000005.jpg"
    data = image.read_bytes()
    image.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"000000000005\.jpg is truncated"):
        make(root, "coco")
    write_image(image, np.zeros((52, 40, 3), np.uint8))
    with pytest.raises(UserError, match=r"000000000005\.jpg has 40x52 pixels, but .*json says 52x40"):
        make(root, "coco")
    image.unlink()
    with pytest.raises(UserError, match=r"json lists image 5, but there is no .*val2017/000000000005\.jpg"):
        make(root, "coco")
    with pytest.raises(UserError, match="MS-COCO has no split 'val'"):
        coco.Annotations(root, "val")


def test_manifest(root: Path) -> None:
    made = make(root, "coco")
    assert json.loads(json.dumps(made)) == made == make(root, "coco")
    assert [entry["id"] for entry in made["splits"]["val2017"]] == ["3", "5", "7"]
    assert made["splits"]["train2017"][0]["image"] == "train2017/000000000003.jpg"
    manifest.check(root, made)
    path = root / made["annotations"]["val2017"]["file"]
    path.write_text(path.read_text() + " ")
    with pytest.raises(UserError, match=r"instances_val2017\.json has \d+ bytes, but \d+ in the manifest"):
        manifest.check(root, made)


COUNTS = {"train2017": 60, "val2017": 12}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("generated") / "coco"
    generate.generate("coco", root, COUNTS, (112, 144), seed=0)
    return root


def test_generated_is_the_same_from_the_same_seed(generated: Path, tmp_path: Path) -> None:
    generate.generate("coco", tmp_path / "again", COUNTS, (112, 144), seed=0)
    generate.generate("coco", tmp_path / "other", COUNTS, (112, 144), seed=1)
    assert files_under(tmp_path / "again") == files_under(generated) != files_under(tmp_path / "other")
    assert files_under(generated).keys() == {
        "generated.json",
        *(f"annotations/instances_{split}.json" for split in COUNTS),
        *(f"train2017/{number:012d}.jpg" for number in range(1, 61)),
        *(f"val2017/{500_000 + number:012d}.jpg" for number in range(1, 13)),
    }


@pytest.mark.parametrize("split", COUNTS)
def test_generated_equals_pycocotools(split: str, generated: Path) -> None:
    assert assert_equals_pycocotools(generated, split) > 30


def test_generated_masks_are_the_drawn_ones(generated: Path) -> None:
    found = coco.Annotations(generated, "train2017")
    seen, drawn_things = 0, 0
    for number, image in enumerate(found.images):
        _, label, drawn = generate.draw("coco", (112, 144), 0, "train2017", number)
        assert (image.height, image.width) == drawn.shape
        for instance in found.instances(image.id):
            mask = instance.mask(image.height, image.width)
            value = np.bincount(drawn[mask]).argmax()
            assert value > 0 and instance.crowd == (value >= painter.FIRST_GROUP)
            assert (label[drawn == value] == instance.category).all()
            x, y, width, height = instance.box
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert (x, y, x + width, y + height) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            assert instance.area == mask.sum()
            if instance.crowd:
                assert np.array_equal(mask, drawn == value)
            else:
                # outlines cut corners, and parts of less than four pixels are left out
                assert (mask & (drawn == value)).sum() >= 0.9 * (drawn == value).sum() - 4
            seen += 1
        drawn_things += len(np.unique(drawn[drawn > 0]))
    assert 0.9 * drawn_things < seen <= drawn_things


def test_generated_holds_every_kind_of_annotation(generated: Path) -> None:
    found = coco.Annotations(generated, "train2017")
    images = [found.instances(image.id) for image in found.images]
    instances = [instance for image in images for instance in image]
    single = [instance for instance in instances if not instance.crowd]
    assert sum(not image for image in images) > 2
    assert sum(instance.crowd for instance in instances) > 2
    assert all(isinstance(instance.segmentation, dict) == instance.crowd for instance in instances)
    assert sum(len(instance.segmentation) > 1 for instance in single) > 5
    bounds = [0, 32**2, 96**2, np.inf]
    sizes, _ = np.histogram([instance.area for instance in single], bounds)
    assert (sizes > 0).all(), sizes
    assert {CLASSES[instance.category] for instance in instances} == {"person", "car", "boat"}
    assert len({instance.id for instance in instances}) == len(instances)


def test_an_interrupted_generation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sgr.generated.generate.write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        generate.generate("coco", tmp_path / "coco", {"val2017": 2}, (64, 64), seed=0)
    assert list(tmp_path.iterdir()) == []


def test_the_stage_download(tmp_path: Path) -> None:
    root = copy_checkout(tmp_path / "copy")
    write_parameters(root, {"profiles.mini.generated.detection": {"train": 3, "test": 2}})
    assert stage(root, "plan").returncode == 0
    ended = stage(root, "download", "mini", "coco")
    assert ended.returncode == 0, ended.stderr
    made = json.loads((root / "work/mini/data/coco.json").read_text())
    assert {split: len(entries) for split, entries in made["splits"].items()} == {
        "train2017": 3,
        "val2017": 2,
    }
    (folder,) = (root / "data/generated").iterdir()
    manifest.check(folder, made)
    said = stage(root, "download", "mini", "coco-2014").stderr
    assert said.startswith("error: ") and "'coco-2014'" in said and "coco" in said
