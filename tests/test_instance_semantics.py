"""S_I and D_I: instances that overlap, none, and crowd regions, against a count pixel by pixel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sgr.data import coco
from sgr.download import manifest
from sgr.evaluation import instances
from sgr.evaluation.semantics import image_regions
from sgr.evaluation.settings import EvaluationFiles
from sgr.files import read_json, write_json
from sgr.generated.writing import write_image
from sgr.plan.params import load
from sgr.report import published
from sgr.report.labels import networks
from sgr.semantics import label_shares, mask_semantics, mask_shares, token_semantics
from tests import reference, tiny_row
from tests.scratch import ROOT

ROW = "cocostuff10k-fcn-sgr"
SIZE = 45, 61  # no multiple of the stride
SQUARE = [4, 4, 30, 4, 30, 34, 4, 34]
SQUARE_OVER_IT = [20, 10, 52, 10, 52, 40, 20, 40]
FAR_PARTS = [[2, 38, 12, 38, 12, 44, 2, 44], [50, 2, 60, 2, 60, 8, 50, 8]]


def random_masks(M: int, size: tuple[int, int]) -> torch.Tensor:
    return torch.rand(M, *size, generator=torch.Generator().manual_seed(1)) < 0.4


@pytest.mark.parametrize(
    "size, image", [((3, 4), (9, 12)), ((3, 4), (10, 13)), ((1, 1), (5, 7)), ((6, 5), (4, 3))]
)
@pytest.mark.parametrize("M", [0, 1, 2, 5])
def test_section_4_over_masks_that_overlap(size: tuple[int, int], image: tuple[int, int], M: int) -> None:
    regions = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    masks = random_masks(M, image)
    ours = [value.item() for value in mask_semantics(regions, masks)]
    expected = reference.mask_semantics(regions[0].numpy(), masks.numpy())
    np.testing.assert_allclose(ours, expected, atol=1e-12, equal_nan=True)
    if M == 1:
        assert ours == [0, 0]


def test_masks_that_do_not_overlap_are_labels() -> None:
    labels = torch.randint(0, 4, (1, 10, 13), generator=torch.Generator().manual_seed(0))
    masks = torch.stack([labels[0] == bin for bin in range(4)])
    regions = torch.rand(1, 3, 3, 4)
    torch.testing.assert_close(mask_shares(masks, (3, 4)), label_shares(labels, 4, (3, 4)))
    torch.testing.assert_close(mask_semantics(regions, masks), token_semantics(regions, labels, 4))


def test_an_empty_mask_changes_nothing() -> None:
    regions, masks = torch.rand(1, 3, 3, 4), random_masks(3, (9, 12))
    with_empty = torch.cat([masks, torch.zeros(1, 9, 12, dtype=torch.bool)])
    torch.testing.assert_close(mask_semantics(regions, with_empty), mask_semantics(regions, masks))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """MS-COCO with four images: instances that overlap and a crowd region, one instance, only crowd, nothing."""
    root = tmp_path / "coco"
    crowd = np.zeros(SIZE, dtype=bool)
    crowd[:20, 30:] = True
    annotations = [
        (1, [SQUARE], False),
        (1, [SQUARE_OVER_IT], False),
        (1, FAR_PARTS, False),
        (1, runs(crowd), True),
        (2, [SQUARE], False),
        (3, runs(crowd), True),
    ]
    for split in coco.SPLITS:
        images = [
            {"id": number, "file_name": f"{number:012d}.jpg", "height": SIZE[0], "width": SIZE[1]}
            for number in range(1, 5)
        ]
        for image in images:
            pixels = np.random.default_rng(image["id"]).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            write_image(root / split / str(image["file_name"]), pixels)
        listed = [
            {
                "id": number,
                "image_id": image,
                "category_id": coco.CATEGORY_IDS[number],
                "bbox": [0, 0, 1, 1],
                "area": 1,
                "iscrowd": int(is_crowd),
                "segmentation": segmentation,
            }
            for number, (image, segmentation, is_crowd) in enumerate(annotations)
        ]
        file = coco.annotation_file(root, split)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"images": images, "annotations": listed, "categories": []}))
    return root


def runs(mask: np.ndarray[Any, Any]) -> dict[str, Any]:
    """COCO's uncompressed run lengths, column by column, of zeros first."""
    flat = mask.T.flatten()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": counts if not flat[0] else [0, *counts]}


class Regions(nn.Module):
    """A network whose regions are a fixed function of the cell's position and of the image's mean colour."""

    class backbone:
        stride = 8

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        h, w = (side // 8 for side in images.shape[2:])
        cells = torch.arange(h * w, dtype=torch.float32).view(1, 1, h, w)
        phases = torch.arange(5, dtype=torch.float32).view(1, 5, 1, 1)
        return (torch.sin(cells * (phases + 1) + images.mean()) + 1) / 2

    def regions(self, output: torch.Tensor) -> torch.Tensor:
        return output


@pytest.mark.parametrize("workers", [0, 2])
def test_job_equals_the_reference(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    write_json(tmp_path / "coco.json", manifest.make(dataset, "coco"))
    monkeypatch.setattr(instances, "trained_network", lambda *_: Regions())
    settings = tiny_row.entries()[f"instance_semantics/{ROW}"].settings
    assert (settings.split, settings.seen.resize, settings.seen.threads) == ("val2017", 1.0, 1)
    files = EvaluationFiles(dataset, tmp_path / "coco.json", tmp_path / "none", workers, "a row")
    (tmp_path / "job").mkdir()
    instances.instance_semantics(settings, files, 0, tmp_path / "job")
    found = read_json(tmp_path / "job" / "instance_semantics.json")["val2017"]

    annotations = coco.Annotations(dataset, "val2017")
    values = []
    for image in annotations.images[:2]:  # the others hold a crowd region or nothing: no bins
        pixels = torch.from_numpy(np.asarray(instances.read_image(image.path)).copy()).permute(2, 0, 1)[None]
        regions, (height, width) = image_regions(Regions(), pixels, 1.0)  # type: ignore[arg-type]
        masks = [one.mask(*SIZE) for one in annotations.instances(image.id) if not one.crowd]
        padding = ((0, 0), (0, height - SIZE[0]), (0, width - SIZE[1]))
        values.append(reference.mask_semantics(regions[0].double().numpy(), np.pad(np.stack(masks), padding)))
    expected = np.mean(values, axis=0)
    assert (found["images"], found["instances"], found["classes"]) == (2, 4, 4)
    assert values[1] == (0, 0) and values[0][0] > 0.1
    measured = [found["semantics_instance"], found["diversity_instance"]]
    np.testing.assert_allclose(measured, expected, atol=1e-9)


def test_plan_has_the_rows_of_tables_2_and_4() -> None:
    entries = tiny_row.entries()
    of_table2 = [line.network for line in published.load("table2") if line.cells["level"] == "instance"]
    paper = [*of_table2, *(line.network for line in published.load("table4"))]
    asked = {row for row, network in networks(load(ROOT / "params.yaml")) if network in paper}
    assert len(asked) == len(set(paper))
    planned = {
        key.split("/")[1]: entry for key, entry in entries.items() if key.startswith("instance_semantics/")
    }
    assert asked <= planned.keys()
    for row, entry in planned.items():
        seen, trained = entry.settings.seen, entries[f"train/{row}"]
        assert (entry.dataset, seen.dataset, entry.settings.split) == ("coco", "coco", "val2017"), row
        assert (trained.dataset, seen.network) == ("cocostuff10k", trained.settings.network), row
        assert {"sgr/data/coco.py", "sgr/semantics.py"} <= entry.code.sources.keys()
