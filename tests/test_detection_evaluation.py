"""Box and mask AP: pycocotools' own figures, the evaluation job from images to metrics, and Table 3."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sgr.data.coco import CATEGORY_IDS, Annotations, annotation_file
from sgr.detection import evaluate as job
from sgr.detection.average_precision import FIGURES, KINDS, average_precision
from sgr.detection.network import Target, build
from sgr.detection.settings import STRIDE, TransferFiles
from sgr.errors import UserError
from sgr.evaluation.settings import EvaluationFiles
from sgr.models.backbone import Backbone
from sgr.models.recipes import RECIPES
from sgr.models.weights_file import packed
from sgr.plan.params import load
from sgr.report.labels import networks
from sgr.report.tables import table3, write_table
from tests import tiny_transfer
from tests.made_of import real
from tests.scratch import ROOT, checked


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TransferFiles:
    """Twenty images, larger than the network is shown them, with small, medium and large instances."""
    return tiny_transfer.make(tmp_path_factory.mktemp("coco"), train=1, test=20, size=(112, 144))


def guesses(files: TransferFiles, seed: int) -> list[dict[str, Any]]:
    """Most instances at a shifted place, some of a wrong class, some twice, and boxes where nothing is.

    Crowd regions are hit as well, images without annotations are, and one image in four has no guess at all.
    """
    rng = np.random.default_rng(seed)
    annotations, found = Annotations(files.data, "val2017"), []
    for number, image in enumerate(annotations.images):
        if number % 4 == 0:
            continue
        placed = [
            (thing.category, thing.mask(image.height, image.width))
            for thing in annotations.instances(image.id)
            for _ in range(rng.integers(0, 3))
        ]
        invented = np.zeros((image.height, image.width), dtype=bool)
        invented[10:40, 20:70] = True
        for category, pixels in [*placed, (0, invented), (2, invented)]:
            shifted = np.roll(pixels, rng.integers(-3, 4, 2), axis=(0, 1))
            encoded = rle.encode(np.asfortranarray(shifted, dtype=np.uint8))
            found.append(
                {
                    "image_id": image.id,
                    "category_id": CATEGORY_IDS[category if rng.random() < 0.8 else 1],
                    "bbox": [float(side) + rng.normal() for side in rle.toBbox(encoded)],
                    "score": round(float(rng.random()), 2),  # some scores are equal
                    "segmentation": encoded,
                }
            )
    return found


def by_pycocotools(truth: Path, detections: list[dict[str, Any]]) -> dict[str, float | None]:
    """The official evaluation, box and mask; masks without boxes, so that it measures their own area."""
    figures: dict[str, float | None] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO(str(truth))
        for kind, name in KINDS.items():
            dropped = {"box": "segmentation", "mask": "bbox"}[kind]
            results = loaded.loadRes([{k: v for k, v in d.items() if k != dropped} for d in detections])
            evaluation = COCOeval(loaded, results, name)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            for figure, place in FIGURES.items():
                value = evaluation.stats[place]
                figures[f"{kind}_{figure}"] = None if value < 0 else 100 * value
    return figures


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_pycocotools(files: TransferFiles, seed: int) -> None:
    annotations = Annotations(files.data, "val2017")
    instances = [annotations.instances(image.id) for image in annotations.images]
    assert [] in instances and any(one.crowd for several in instances for one in several)
    truth = annotation_file(files.data, "val2017")
    found, expected = (
        average_precision(truth, guesses(files, seed)),
        by_pycocotools(truth, guesses(files, seed)),
    )
    assert found.keys() == expected.keys() and len(found) == 12
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, abs=1e-6, rel=0)), name
    assert 5 < found["box_ap"] < 95 and 5 < found["mask_ap_m"] < 95


def test_a_size_that_is_not_there_has_no_figure() -> None:
    square = [[1.0, 1.0, 6.0, 1.0, 6.0, 6.0, 1.0, 6.0]]
    thing = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}
    truth = {
        "images": [{"id": 1, "height": 20, "width": 30}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{**thing, "segmentation": square}],
    }
    nothing = average_precision(truth, [])
    assert nothing["box_ap"] == nothing["mask_ap_s"] == 0
    assert nothing["box_ap_m"] is nothing["mask_ap_l"] is None
    encoded = rle.frPyObjects(square, 20, 30)[0]
    hit = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5, "segmentation": encoded}
    found = average_precision(truth, [hit])
    assert found["box_ap"] == found["mask_ap"] == found["mask_ap_s"] == pytest.approx(100)


def test_images_that_were_not_looked_at_count_neither_way(files: TransferFiles) -> None:
    """The AP of a part is that of the same part as a dataset of its own."""
    truth = json.loads(annotation_file(files.data, "val2017").read_text())
    looked_at = [image["id"] for image in truth["images"]][::3]
    found = [one for one in guesses(files, 0) if one["image_id"] in looked_at]
    alone = {
        **truth,
        "images": [image for image in truth["images"] if image["id"] in looked_at],
        "annotations": [one for one in truth["annotations"] if one["image_id"] in looked_at],
    }
    assert average_precision(truth, found, looked_at) == average_precision(alone, found)
    assert average_precision(truth, found) != average_precision(alone, found)


# The job


class Knowing:
    """Sees what is annotated, in pixels of the image it is given; its masks fill their boxes."""

    def __init__(self, files: TransferFiles) -> None:
        self.annotations = Annotations(files.data, "val2017")
        self.backbone = Backbone(RECIPES["tiny_resnet"].settings(STRIDE))
        self.sizes: list[tuple[int, int]] = []

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        assert images.shape[0] == 1 and not any(side % 32 for side in images.shape[2:])
        return images

    def detections(self, images: torch.Tensor, sizes: list[tuple[int, int]]) -> list[Target]:
        image = self.annotations.images[len(self.sizes)]
        (h, w), self.sizes = sizes[0], self.sizes + sizes
        things = [one for one in self.annotations.instances(image.id) if not one.crowd]
        boxes = torch.tensor([one.box for one in things], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        scale = torch.tensor([w / image.width, h / image.height] * 2)
        return [
            {
                "boxes": boxes * scale,
                "labels": torch.tensor([one.category + 1 for one in things], dtype=torch.int64),
                "scores": torch.linspace(0.5, 1.0, len(things)),
                "masks": torch.ones(len(things), 1, 28, 28),
            }
        ]


def test_boxes_come_back_at_the_size_of_the_file(files: TransferFiles) -> None:
    """What is known exactly scores 100; every image is seen once, at the size that the row asks for."""
    network, found = Knowing(files), []
    images = job.EvaluationImages(network.annotations, min_size=80, max_size=110)
    for number in range(len(images)):
        found += job.detect(network, images[number], torch.device("cpu"))  # type: ignore[arg-type]
    assert len(network.sizes) == len(network.annotations.images) == 20
    assert all(max(size) == 110 or min(size) == 80 for size in network.sizes)
    by_id = {image.id: image for image in network.annotations.images}
    for one in found:
        image = by_id[one["image_id"]]
        assert one["segmentation"]["size"] == [image.height, image.width]
        assert isinstance(one["segmentation"]["counts"], bytes)
    figures = average_precision(annotation_file(files.data, "val2017"), found)
    assert figures["box_ap"] == pytest.approx(100)
    assert 1 < figures["mask_ap50"] < 100


@pytest.mark.parametrize("confident", [True, False])
def test_job_writes_metrics(files: TransferFiles, tmp_path: Path, confident: bool) -> None:
    """Of a network that finds something nearly everywhere, and of one that finds nothing at all."""
    settings = tiny_transfer.detection("coco-sgr")
    assert settings.network.classes == 80
    torch.manual_seed(0)
    network = build(settings.network)
    bias = network.heads.box_predictor.cls_score.bias
    with torch.no_grad():
        bias[0 if not confident else 1] = 20.0
    (tmp_path / "model.safetensors").write_bytes(packed(network.state_dict()))
    given = EvaluationFiles(files.data, files.manifest, tmp_path / "model.safetensors", 1, "a tiny row")
    for folder in ("once", "again"):
        (tmp_path / folder).mkdir()
        job.evaluate(settings, given, 0, tmp_path / folder)
    metrics = json.loads((tmp_path / "once" / "metrics.json").read_text())
    assert metrics.keys() == {"val2017", "parameters"}
    found = metrics["val2017"]
    of_kind = {f"{kind}_{name}" for kind in KINDS for name in (*FIGURES, "finds_nothing")}
    assert found.keys() == of_kind | {"images", "classes"}
    truth = json.loads(annotation_file(files.data, "val2017").read_text())
    things = {one["category_id"] for one in truth["annotations"] if not one["iscrowd"]}
    assert (found["images"], found["classes"]) == (len(truth["images"]), len(things))
    assert found["box_ap"] is not None
    for kind in KINDS:
        assert found[f"{kind}_finds_nothing"] is (found[f"{kind}_ap"] == 0)
    if not confident:
        assert found["box_finds_nothing"] and found["mask_finds_nothing"]
    assert json.loads((tmp_path / "again" / "metrics.json").read_text()) == metrics


# Table 3


def result(folder: Path, row: str, box_ap: dict[str, float | None]) -> None:
    seeds = {
        seed: {"val2017": {f"{k}_{f}": value for k in KINDS for f in FIGURES}, "parameters": 1_500_000}
        for seed, value in box_ap.items()
    }
    path = folder / "mini" / "coco" / f"{row}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    about = real("coco", start=real("cocostuff10k")["training"])
    data = {"row": row, "dataset": "coco", "backbone": "tiny_resnet", "about": about, "seeds": seeds}
    path.write_text(json.dumps(data))


def test_table_3_has_the_papers_rows_beside_ours(tmp_path: Path) -> None:
    result(tmp_path, "coco-imagenet", {"0": 41.0, "1": 43.0})
    result(tmp_path, "coco-sgr", {"0": None})
    rows = dict(networks(load(ROOT / "params.yaml")))
    write_table("mini", "table3", table3(), rows, tmp_path)
    lines = (tmp_path / "mini" / "table3.md").read_text().splitlines()
    boxes, masks = (next(i for i, line in enumerate(lines) if line == f"## {t}") for t in ("Boxes", "Masks"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    header, plain = rows[0], dict(zip(rows[0], rows[1], strict=True))
    assert boxes < masks and lines[0].startswith("The whole of MS-COCO (118287 images of train2017, 5000 ")
    assert (plain["method"], plain["backbone"]) == ("Mask R-CNN C4", "tiny ResNet")
    assert plain["AP ↑"] == "42.00±1.41 [40.29]"
    assert [row[0].removeprefix("Mask R-CNN C4") for row in rows[1:5]] == [
        "",
        " + GloRe",
        " + SGR",
        " + SGR, w/o focal, dice and cosine",
    ]
    assert rows[3][header.index("AP ↑")] == "—"
    with open(tmp_path / "mini" / "table3.csv", newline="") as file:
        of_paper = list(csv.DictReader(file))
    assert [float(line["ap_l_paper"]) for line in of_paper[:4]] == [55.05, 51.88, 56.32, 45.84]
    assert [float(line["ap_s_paper"]) for line in of_paper[4:]] == [15.30, 15.07, 16.30, 13.55]
    assert of_paper[1]["note"] == "not yet trained by this project"


# What params.yaml may say


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"transfer.coco-sgr.start": "train/cocostuff10k-nosuch"}, ("coco-sgr", "cocostuff10k-nosuch")),
        ({"transfer.coco-sgr.start": "weights/vgg"}, ("coco-sgr", "vgg", "resnet101")),
        ({"transfer.coco-sgr.start": "cocostuff10k-fcn"}, ("transfer.coco-sgr.start", "cocostuff10k-fcn")),
        ({"transfer.coco-sgr.start": "train/ade20k-upernet-sgr"}, ("coco-sgr", "ResNet", "tiny_swin")),
        ({"profiles.mini.detection.training.milestones": [50, 40]}, ("milestones", "[50, 40]")),
        ({"profiles.mini.detection.training.milestones": [50, 9999]}, ("milestones", "below iterations")),
        ({"profiles.mini.detection.training.accumulate": 3}, ("batch_size = 2", "accumulate = 3")),
        (
            {"profiles.mini.detection.anchor": [16]},
            ("params/profiles/mini.yaml: detection: ", "'anchor'", "anchors"),
        ),
    ],
)
def test_mistakes(tmp_path: Path, changes: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as raised:
        checked(tmp_path, changes)
    assert "\n" not in str(raised.value)
    assert all(word in str(raised.value) for word in words), raised.value
