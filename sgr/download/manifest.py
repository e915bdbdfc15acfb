"""Making the manifest of a dataset, which takes reading every file of it once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sgr.data import reader
from sgr.data.files import Sample, check_sizes, read_image
from sgr.data.manifest import Manifest
from sgr.data.parallel import in_parallel
from sgr.errors import UserError
from sgr.files import sha256_file


def make(root: Path, dataset_name: str, subset: Mapping[str, int] | None = None) -> Manifest:
    """Verify every sample of a dataset and describe its files; the same files give the same manifest.

    Returns what sgr.data.manifest describes.

    Args:
        subset: how many samples of each split are meant, of those that are there; by itself the whole dataset.

    Raises:
        UserError: a file is missing or does not decode, a label is outside the classes, an image and its label map
            have different sizes, or a split has fewer samples than are meant.
    """
    root = Path(root).absolute()
    module = reader(dataset_name)
    indices = {split: module.index(root, split, whole=subset is None) for split in module.SPLITS}
    for split, found in indices.items():
        if (wanted := (subset or {}).get(split)) is None:
            continue
        if len(found) < wanted:
            raise UserError(
                f"{dataset_name}: {root} holds {len(found)} of the {wanted} samples of {split} that `subset` "
                "asks for"
            )
        indices[split] = part(found, wanted)
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


def part(samples: Sequence[Any], count: int) -> list[Any]:
    """The `count` samples whose ids have the lowest SHA-256, in their order.

    They lie all over a split, whose names often follow a drive or a video; more of them hold the fewer; and of the
    whole they are the same whatever else is in its folder.
    """
    ranked = sorted(samples, key=lambda sample: hashlib.sha256(_id(sample).encode()).digest())
    chosen = {_id(sample) for sample in ranked[:count]}
    return [sample for sample in samples if _id(sample) in chosen]


def _id(sample: Any) -> str:
    return sample.id if isinstance(sample, Sample) else str(sample.image.id)


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
        "id": _id(sample),
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
