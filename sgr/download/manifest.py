"""Making the manifest of a dataset, which takes reading every file of it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from sgr.data import reader
from sgr.data.files import Sample, check_sizes, read_image
from sgr.data.manifest import Manifest
from sgr.data.parallel import in_parallel
from sgr.files import sha256_file


def make(root: Path, dataset_name: str) -> Manifest:
    """Verify every sample of a dataset and describe its files; the same files give the same manifest.

    Returns what sgr.data.manifest describes.

    Raises:
        UserError: a file is missing or does not decode, a label is outside the classes, or an image and its label map
            have different sizes.
    """
    root = Path(root).absolute()
    module = reader(dataset_name)
    indices = {split: module.index(root, split) for split in module.SPLITS}
    entry = _entry if hasattr(module, "read_label") else _annotated_entry
    arguments = ((root, dataset_name, sample) for samples in indices.values() for sample in samples)
    total = sum(len(samples) for samples in indices.values())
    entries = iter(
        tqdm(in_parallel(entry, arguments), desc=f"verify {dataset_name}", total=total, disable=None)
    )
    made: Manifest = {
        "dataset": dataset_name,
        "splits": {split: [next(entries) for _ in samples] for split, samples in indices.items()},
    }
    if not hasattr(module, "read_label"):
        files = {split: module.annotation_file(root, split) for split in module.SPLITS}
        made["annotations"] = {split: _described(root, file) for split, file in files.items()}
    return made


def _entry(root: Path, dataset_name: str, sample: Sample) -> dict[str, Any]:
    image = read_image(sample.image)
    module = reader(dataset_name)
    label = module.read_label(sample.label)
    check_sizes(sample, image, label)
    files = {"image": sample.image, "label": sample.label}
    # Training needs no instances: a copy of the dataset without them is as good.
    if hasattr(module, "instance_file") and module.instance_file(sample.label).is_file():
        files["instances"] = module.instance_file(sample.label)
    return {
        "id": sample.id,
        **{kind: file.relative_to(root).as_posix() for kind, file in files.items()},
        "bytes": [file.stat().st_size for file in files.values()],
        "sha256": [sha256_file(file) for file in files.values()],
        "size": list(label.shape),
    }


def _annotated_entry(root: Path, dataset_name: str, sample: Any) -> dict[str, Any]:
    reader(dataset_name).verify(sample)
    image = sample.image
    return {
        "id": str(image.id),
        "image": image.path.relative_to(root).as_posix(),
        "bytes": [image.path.stat().st_size],
        "sha256": [sha256_file(image.path)],
        "size": [image.height, image.width],
    }


def _described(root: Path, file: Path) -> dict[str, Any]:
    return {
        "file": file.relative_to(root).as_posix(),
        "bytes": file.stat().st_size,
        "sha256": sha256_file(file),
    }
