"""The job of one row and one seed that compares its tokens with the instances of MS-COCO: S_I and D_I (section 4)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from sgr.data import coco
from sgr.data.files import read_image
from sgr.data.manifest import check
from sgr.device import measured, reproducible
from sgr.evaluation.semantics import extended, image_regions
from sgr.evaluation.settings import EvaluationFiles, InstanceSemanticsSettings
from sgr.evaluation.trained_network import trained_network
from sgr.files import read_json, write_json
from sgr.semantics import mask_semantics


def instance_semantics(
    settings: InstanceSemanticsSettings, files: EvaluationFiles, seed: int, folder: Path
) -> None:
    """Write instance_semantics.json: the means over the images of a split that have an instance.

    The bins of an image are its instances, which are all of things. Crowd regions and stuff are no bins: a pixel that
    no instance covers has no vote.
    """
    seen, split = settings.seen, settings.split
    device = reproducible(seed, seen.threads)
    manifest = read_json(files.manifest)
    check(files.data, manifest)
    network = trained_network(seen, files, device)
    images = InstanceSamples(coco.described(files.data, manifest, split))
    values: list[tuple[float, float]] = []
    instances, classes = 0, set[int]()
    began = time.monotonic()
    title = f"{files.title} instances on {split}"
    loader = _loader(images, files.loader_workers)
    for image, masks, categories in tqdm(loader, desc=title, total=len(images), unit="image", mininterval=1):
        if not len(masks):
            continue
        regions, covered = image_regions(network, image.to(device), seen.resize)
        result = mask_semantics(regions, extended(masks.to(device), covered, False))
        if not bool(result.semantics.isnan()):
            values.append((float(result.semantics), float(result.diversity)))
            instances += len(masks)
            classes.update(categories)
    means = np.mean(values, axis=0).tolist() if values else [None, None]
    measures = {"semantics_instance": means[0], "diversity_instance": means[1]}
    write_json(
        folder / "instance_semantics.json",
        {split: {**measures, "images": len(values), "instances": instances, "classes": len(classes)}},
    )
    write_json(folder / "measured.json", measured(device, len(images) / (time.monotonic() - began)))


class InstanceSamples(Dataset[tuple[Tensor, Tensor, list[int]]]):
    """The images of a split of MS-COCO in the order of their ids, with the masks and classes of their instances."""

    def __init__(self, annotations: coco.Annotations) -> None:
        self.annotations = annotations

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, list[int]]:
        """Image (3, H, W) uint8, masks (M, H, W) bool and M classes of its instances, crowd regions left out."""
        annotated = self.annotations[index]
        size = annotated.image.height, annotated.image.width
        instances = [one for one in coco.read_instances(annotated) if not one.crowd]
        masks = [one.mask(*size) for one in instances]
        image = np.ascontiguousarray(read_image(annotated.image.path).transpose(2, 0, 1))
        stacked = np.stack(masks) if masks else np.zeros((0, *size), dtype=bool)
        return torch.from_numpy(image), torch.from_numpy(stacked), [one.category for one in instances]


def _loader(images: InstanceSamples, workers: int) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
    """(image (1,3,H,W), masks (M,H,W), classes) of each."""
    for image, masks, categories in DataLoader(images, batch_size=None, num_workers=workers):
        yield image[None], masks, categories
