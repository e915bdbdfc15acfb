"""Components against instances: vectorised counting against sets of pixels, hand-made maps, and the whole stage."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sgr.connected import connected_components
from sgr.data import component_extraction
from sgr.datasets import Scene, cityscapes
from sgr.download import manifest
from sgr.errors import UserError
from sgr.evaluation.component_statistics import Counts, Statistics, count, measure
from sgr.files import write_json
from sgr.jobs.job import Code
from sgr.plan import entry
from sgr.plan.entry import Entry
from sgr.plan.stage_settings import ComponentSettings, StatisticsSettings
from sgr.report import style
from sgr.report.component_statistics import build, draw, write
from tests.figure_checks import check, check_files

THINGS = np.array([False, True, True])  # classes 0, 1, 2: stuff and two kinds of things
CITYSCAPES = cityscapes.DESCRIPTION.classes
THINGS_OF_CITYSCAPES = np.array([name in cityscapes.THINGS for name in CITYSCAPES])
ROOT = Path(__file__).resolve().parents[1]


def slow(
    components: Any, labels: Any, instances: Any, of_component: float, of_instance: float
) -> dict[str, Any]:
    """The definitions, pixel by pixel, in sets and dictionaries."""
    pixels = [(y, x) for y in range(labels.shape[0]) for x in range(labels.shape[1])]
    regions: dict[int, set[Any]] = {}
    bodies: dict[int, set[Any]] = {}
    for p in pixels:
        if components[p]:
            regions.setdefault(int(components[p]), set()).add(p)
        if instances[p] and labels[p] < 3 and THINGS[labels[p]]:
            bodies.setdefault(int(instances[p]), set()).add(p)
    covers = {
        r: [
            i
            for i, body in bodies.items()
            if region & body and len(region & body) >= of_component * len(region)
        ]
        for r, region in regions.items()
    }
    lies = {
        i: [
            r
            for r, region in regions.items()
            if region & body and len(region & body) >= of_instance * len(body)
        ]
        for i, body in bodies.items()
    }
    outcome = {}
    for i, parts in lies.items():
        if len(parts) != 1:
            outcome[i] = 2 if parts else 3
        else:
            outcome[i] = 0 if covers[parts[0]] == [i] else 1
    name = {k: int(labels[next(iter(v))]) for k, v in regions.items()}
    largest = {r: max((len(region & b) for b in bodies.values()), default=0) for r, region in regions.items()}
    return {
        "components": Counter((name[r], min(len(found), 3)) for r, found in covers.items()),
        "instances": Counter((int(labels[next(iter(bodies[i]))]), kind) for i, kind in outcome.items()),
        "area": [sum(len(regions[r]) for r in regions if name[r] == c) for c in range(3)],
        "largest": [sum(largest[r] for r in regions if name[r] == c) for c in range(3)],
        "purity": [sum(largest[r] / len(regions[r]) for r in regions if name[r] == c) for c in range(3)],
    }


def compare(counts: Counts, expected: dict[str, Any]) -> None:
    for field in ("components", "instances"):
        table = getattr(counts, field)
        assert {(c, k): table[c, k] for c, k in np.argwhere(table).tolist()} == expected[field], field
    assert counts.area.tolist() == expected["area"]
    assert counts.largest.tolist() == expected["largest"]
    assert counts.purity.tolist() == pytest.approx(expected["purity"])


def blobs(seed: int, size: tuple[int, int] = (24, 30)) -> tuple[Any, Any]:
    """Labels of boxes, ignored pixels among them, and instances that overlap and stand on them."""
    rng = np.random.default_rng(seed)
    labels, instances = np.zeros(size, dtype=np.uint8), np.zeros(size, dtype=np.int32)
    for number in range(1, 12):
        y, x = rng.integers(0, size[0]), rng.integers(0, size[1])
        box = np.s_[y : y + rng.integers(1, 12), x : x + rng.integers(1, 14)]
        labels[box] = rng.choice([0, 1, 2, 255], p=[0.15, 0.4, 0.35, 0.1])
        # numbers with gaps; a third of the boxes of things are groups without an instance
        instances[box] = 0 if labels[y, x] in (0, 255) or rng.random() < 0.3 else 7 * number + 20_000
    return labels, instances


@pytest.mark.parametrize("seed", range(40))
def test_counts_are_those_of_sets_of_pixels(seed: int) -> None:
    labels, instances = blobs(seed)
    components = connected_components(labels, opening=(0, 2, 3)[seed % 3], min_share=(0.0, 0.05)[seed % 2])
    of_component, of_instance = ((0.1, 0.1), (0.3, 0.05), (0.0, 0.5))[seed % 3]
    counts = count(components, labels, instances, THINGS, of_component, of_instance)
    compare(counts, slow(components, labels, instances, of_component, of_instance))


def test_random_maps_hold_every_kind() -> None:
    components, instances = np.zeros((3, 4), dtype=np.int64), np.zeros((3, 4), dtype=np.int64)
    for seed in range(40):
        labels, bodies = blobs(seed)
        counts = count(connected_components(labels), labels, bodies, THINGS)
        components += counts.components
        instances += counts.instances
    assert (components[1:].sum(0) > 0).all() and (instances[1:].sum(0) > 0).all()
    assert components[0, 1:].sum() == instances[0].sum() == 0


def maps(*rows: str) -> tuple[Any, Any, Any]:
    """Labels, instances and components of a drawing: letters are instances of class 1, `.` is stuff, `g` a group."""
    drawing = np.array([list(row) for row in rows])
    labels = np.where(drawing == ".", 0, 1).astype(np.uint8)
    instances = np.where(np.isin(drawing, [".", "g"]), 0, np.vectorize(ord)(drawing))
    return connected_components(labels, opening=0, min_share=0.0), labels, instances


@pytest.mark.parametrize(
    ("rows", "components", "instances", "purity"),
    [
        (("aa..", "aa..", "..bb"), [0, 0, 1, 0], [0, 2, 0, 0], 2 / 3),  # 8-connected: they touch at a corner
        (("aa...", "aa...", "...bb"), [0, 2, 0, 0], [2, 0, 0, 0], 2),  # apart
        (("aabb", "aabb"), [0, 0, 1, 0], [0, 2, 0, 0], 0.5),  # two that touch
        (("aa.aa", "aa.aa"), [0, 2, 0, 0], [0, 0, 1, 0], 2),  # one behind a pole
        (("aabbcc", "aabbdd"), [0, 0, 0, 1], [0, 4, 0, 0], 1 / 3),
        (("gg.aa", "gg.aa"), [1, 1, 0, 0], [1, 0, 0, 0], 1),  # a group covers none
        (("....", "...."), [0, 0, 0, 0], [0, 0, 0, 0], 0),
    ],
)
def test_drawings(rows: tuple[str, ...], components: list[int], instances: list[int], purity: float) -> None:
    found = count(*maps(*rows), THINGS)
    assert found.components[1].tolist() == components
    assert found.instances[1].tolist() == instances
    assert found.purity[1] == pytest.approx(purity)


def test_a_sliver_neither_spoils_a_component_nor_splits_an_instance() -> None:
    labels, instances = np.zeros((12, 40), dtype=np.uint8), np.zeros((12, 40), dtype=np.int32)
    labels[:10, :20], instances[:10, :20] = 1, 1
    instances[:10, 19] = 2  # 5 % of the component, all of instance 2
    labels[11, :4], instances[11, :4] = 1, 1  # 2 % of instance 1, a component of its own
    found = count(connected_components(labels, opening=0, min_share=0), labels, instances, THINGS)
    # both components are instance 1; it is one component alone, and instance 2 shares that
    assert found.components[1].tolist() == [0, 2, 0, 0]
    assert found.instances[1].tolist() == [1, 1, 0, 0]
    strict = count(
        connected_components(labels, opening=0, min_share=0), labels, instances, THINGS, 0.01, 0.01
    )
    assert strict.components[1].tolist() == [0, 1, 1, 0]
    assert strict.instances[1].tolist() == [0, 1, 1, 0]


def test_an_instance_that_the_opening_drops_has_none_left() -> None:
    labels, instances = np.zeros((12, 12), dtype=np.uint8), np.zeros((12, 12), dtype=np.int32)
    labels[:, 5], instances[:, 5] = 1, 3  # one pixel wide
    found = count(connected_components(labels), labels, instances, THINGS)
    assert found.components[1].sum() == 0 and found.instances[1].tolist() == [0, 0, 0, 1]
    assert found.components[0].tolist() == [2, 0, 0, 0]


@pytest.mark.parametrize("size", [(0, 0), (1, 1), (8, 8)])
def test_nothing_labelled(size: tuple[int, int]) -> None:
    labels = np.full(size, 255, dtype=np.uint8)
    found = count(connected_components(labels), labels, np.ones(size, dtype=np.int32), THINGS)
    assert all(not field.any() for field in found)
    assert found.components.shape == (3, 4)


def test_instances_of_stuff_never_count() -> None:
    labels = np.zeros((6, 6), dtype=np.uint8)
    found = count(connected_components(labels), labels, np.full((6, 6), 9), THINGS)
    assert found.components.tolist() == [[1, 0, 0, 0], [0] * 4, [0] * 4] and found.instances.sum() == 0
    assert found.largest.sum() == 0 and found.area.tolist() == [36, 0, 0]


def test_maps_of_two_sizes() -> None:
    with pytest.raises(ValueError, match="not of one image"):
        count(np.zeros((4, 4), int), np.zeros((4, 4), np.uint8), np.zeros((4, 5), int), THINGS)


# The report


def statistics() -> Statistics:
    """Two images of three classes, by hand."""
    counts = Counts(
        components=np.array([[5, 0, 0, 0], [1, 6, 2, 1], [0, 0, 0, 0]]),
        instances=np.array([[0, 0, 0, 0], [6, 8, 1, 5], [0, 0, 0, 2]]),
        area=np.array([500, 200, 0]),
        largest=np.array([0, 150, 0]),
        purity=np.array([0, 8.0, 0]),
    )
    return Statistics(counts, np.array([[1, 3, 0], [4, 7, 0]]), 0.1, 0.2)


def test_numbers_of_the_table() -> None:
    frame = build(statistics(), ("road", "car", "train"), THINGS, L=4).set_index("class")
    car = frame.loc["car"]
    assert car[["one", "two", "three_or_more", "no_instance"]].tolist() == [0.6, 0.2, 0.1, 0.1]
    assert car[["alone", "shared", "split", "none_left"]].tolist() == [0.3, 0.4, 0.05, 0.25]
    assert (car["purity"], car["purity_by_area"]) == (0.8, 0.75)
    assert (car["mean_per_image"], car["max_per_image"], car["images_within_L"]) == (5, 7, 0.5)
    assert frame.loc["all things", "instances"] == 22
    assert frame.loc["all things", "none_left"] == pytest.approx(7 / 22)
    assert frame.loc["all", ["components", "mean_per_image", "images_within_L"]].tolist() == [15, 7.5, 0.5]
    assert frame.loc["train", ["one", "purity"]].isna().all() and frame.loc["train", "none_left"] == 1
    assert (
        frame.loc[["road", "all stuff", "all"], ["no_instance", "purity", "none_left"]].isna().all(axis=None)
    )


def written(folder: Path, of: Statistics, things: Any = THINGS, generated: bool = True) -> Path:
    write(
        of,
        profile="mini",
        generated=generated,
        dataset="cityscapes",
        split="train",
        official=2975,
        classes=("road", "car", "train"),
        things=things,
        L=4,
        opening=3,
        min_share=0.05,
        results=folder,
    )
    return folder / "mini"


def test_files_of_the_report(tmp_path: Path) -> None:
    folder = written(tmp_path, statistics())
    text = (folder / "component_statistics_cityscapes.md").read_text()
    part = "of 2975 images of train)."
    assert text.splitlines()[0] == (
        "Generated images, not the real dataset: Cityscapes (2 images in the place of 2975 of train)."
    )
    real = written(tmp_path / "real", statistics(), generated=False) / "component_statistics_cityscapes.md"
    assert real.read_text().splitlines()[0] == f"A part of Cityscapes (2 {part}"
    assert "at least 10 % of the component's pixels" in text and "at least 20 % of the instance's" in text
    assert "a square of 3 pixels, components below 5 %" in text and "L = 4" in text
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    of_components, of_instances = (line for line in lines if line[0] == "car")
    assert of_components == ["car", "10", "60.0 %", "20.0 %", "10.0 %", "10.0 %", "0.800", "0.750"]
    assert of_instances == ["car", "20", "30.0 %", "40.0 %", "5.0 %", "25.0 %"]
    assert ["all", "7.5", "7.5", "11", "50.0 %"] in lines
    assert not any(line[0] == "road" for line in lines)  # stuff has a line in the CSV file alone
    with open(folder / "component_statistics_cityscapes.csv", newline="") as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["road", "car", "train", "all things", "all stuff", "all"]
    assert rows["car"]["one"] == "0.6" and rows["road"]["one"] == "" and rows["road"]["components"] == "5"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert len(before) == 4  # of the figure PNG and PDF
    check_files(folder / "figures" / "components_cityscapes.png")
    written(tmp_path, statistics())
    assert {path: path.read_bytes() for path in before} == before


def test_labels_of_the_figure_lie_within_it() -> None:
    many = Statistics(
        Counts(np.full((8, 4), 123456), np.full((8, 4), 9), *(np.ones(8, int),) * 2, np.ones(8)),
        np.ones((2, 8), int),
        0.1,
        0.1,
    )
    frame = build(many, cityscapes.THINGS, np.ones(8, dtype=bool), 4).iloc[:9]
    with style.drawing():
        figure = draw(frame)
    check(figure)


def test_a_share_too_small_to_see_is_not_none() -> None:
    shares = {
        "one": [0.004, 0.0, 0.998],
        "two": [0.996, 1.0, 0.002],
        "three_or_more": 0.0,
        "no_instance": 0.0,
    }
    frame = pd.DataFrame({"class": ["car", "bus", "train"], "components": 500, **shares})
    with style.drawing():
        figure = draw(frame)
    check(figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["<1%", "0%", ">99%"]


def test_without_things_the_figure_is_a_sentence(tmp_path: Path) -> None:
    folder = written(tmp_path, statistics(), np.zeros(3, dtype=bool))
    with Image.open(folder / "figures" / "components_cityscapes.png") as image:
        assert image.width > 100
    text = (folder / "component_statistics_cityscapes.md").read_text()
    assert "| all things | 0" in " ".join(text.split())


# A dataset on disk


def dataset_on_disk(root: Path) -> dict[str, Any]:
    """Cityscapes of three images with instance maps as Cityscapes writes them; returns its manifest."""
    ids = {0: 7, 13: 26, 11: 24}  # road, car, person
    items = []
    for number in range(3):
        labels, numbers = np.zeros((40, 60), dtype=np.uint8), np.zeros((40, 60), dtype=np.uint16)
        for k, (y, x, value) in enumerate([(5, 5, 13), (5, 15, 13), (20, 40, 11), (20, 5, 13)][: number + 1]):
            labels[y : y + 10, x : x + 10] = value
            numbers[y : y + 10, x : x + 10] = 1000 * ids[value] + k
        group = (slice(30, 38), slice(30, 38))
        labels[group] = 13
        blank, none = np.zeros((40, 60, 3), dtype=np.uint8), np.zeros((40, 60), dtype=np.uint8)
        for split in ("train", "val"):
            cityscapes.write(root, split, number, Scene(blank, labels, none))
        city = ("northtown", "southtown")[number % 2]
        name = f"{city}_{number:06d}_000019"
        written = np.where(numbers > 0, numbers, np.vectorize(ids.get)(labels)).astype(np.uint16)
        Image.fromarray(written).save(root / "gtFine" / "train" / city / f"{name}_gtFine_instanceIds.png")
        (root / "gtFine" / "val" / city / f"{name}_gtFine_instanceIds.png").unlink()
        items.append((name, component_extraction.encode(connected_components(labels, min_share=0.0))))
    component_extraction.write(root / "components.zip", sorted(items))
    made = manifest.make(root, "cityscapes")
    write_json(root / "manifest.json", made)
    return made


def test_a_dataset_of_official_files(tmp_path: Path) -> None:
    made = dataset_on_disk(tmp_path)
    found = measure(tmp_path, made, "train", tmp_path / "components.zip", THINGS_OF_CITYSCAPES)
    car, person = CITYSCAPES.index("car"), CITYSCAPES.index("person")
    # images: one car; two cars that touch; those and a person. Each also has a group of cars.
    assert found.counts.components[car].tolist() == [3, 1, 2, 0]
    assert found.counts.components[person].tolist() == [0, 1, 0, 0]
    assert found.counts.instances[car].tolist() == [1, 4, 0, 0]
    assert found.per_image[:, car].tolist() == [2, 2, 2] and found.per_image.sum() == 6 + 1 + 3
    assert THINGS_OF_CITYSCAPES.sum() == 8


def test_mistakes_are_named(tmp_path: Path) -> None:
    made, things = dataset_on_disk(tmp_path), THINGS_OF_CITYSCAPES
    with pytest.raises(UserError, match="camvid has no instance annotations"):
        measure(tmp_path, {**made, "dataset": "camvid"}, "train", tmp_path / "components.zip", things)
    with pytest.raises(UserError, match=r"no file .*instanceIds\.png"):
        measure(tmp_path, made, "val", tmp_path / "components.zip", things)
    with pytest.raises(UserError, match="no component archive"):
        measure(tmp_path, made, "train", tmp_path / "none.zip", things)
    path = next((tmp_path / "gtFine" / "train").rglob("*instanceIds.png"))
    Image.fromarray(np.zeros((3, 3), dtype=np.uint16)).save(path)
    with pytest.raises(UserError, match=f"{path.name.partition('_gtFine')[0]} have different sizes"):
        measure(tmp_path, made, "train", tmp_path / "components.zip", things)


def test_the_stage_needs_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = dataset_on_disk(tmp_path / "data" / "cityscapes")
    settings = StatisticsSettings(ComponentSettings("cityscapes", "train", 3, 0.05), L=2)
    monkeypatch.chdir(tmp_path)
    planned = Entry(settings, Code(), dataset="cityscapes", official={"train": 2975, "val": 500})
    entry.write(planned, "mini", "component_statistics", "cityscapes")
    write_json(tmp_path / "work/mini/data/cityscapes.json", made)
    components = tmp_path / "work/mini/components/cityscapes.zip"
    components.parent.mkdir()
    (tmp_path / "data" / "cityscapes" / "components.zip").rename(components)
    code = (
        "import sys; from stages.component_statistics import main; main('mini', 'cityscapes');"
        "import json; print(json.dumps([name for name in sys.modules if name == 'torch']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SGR_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
    names = {path.name for path in (tmp_path / "results" / "mini").rglob("*.*")}
    assert names == {"component_statistics_cityscapes.md", "component_statistics_cityscapes.csv"} | {
        *("components_cityscapes.png", "components_cityscapes.pdf")
    }
