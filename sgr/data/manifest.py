"""The manifest of a dataset: every file of every split, with its size and SHA-256."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sgr.data import WITHOUT_LABEL_MAPS, dataset
from sgr.data.files import Sample, check_split, in_parallel, read_image
from sgr.errors import UserError
from sgr.files import sha256_file

Manifest = dict[str, Any]


def make(root: Path, dataset_name: str) -> Manifest:
    """Verify every sample of a dataset and describe its files; the same files give the same manifest.

    Returns {"dataset", "splits": {split: [{"id", "image", "label", "bytes", "sha256", "size"}]}}, where paths
    are relative to `root`, bytes and sha256 are of [image, label], and size is [height, width] in pixels. A file of
    instances beside a label map is "instances", third in bytes and sha256. A dataset without label maps has
    "annotations": {split: {"file", "bytes", "sha256"}} instead.

    Raises:
        UserError: a file is missing or does not decode, a label is outside the classes, or an image and its
        label map
            have different sizes.
    """
    root = Path(root).absolute()
    module = dataset(dataset_name)
    indices = {split: module.index(root, split) for split in module.SPLITS}
    entry = _annotated_entry if dataset_name in WITHOUT_LABEL_MAPS else _entry
    arguments = ((root, dataset_name, sample) for samples in indices.values() for sample in samples)
    total = sum(len(samples) for samples in indices.values())
    entries = iter(
        tqdm(in_parallel(entry, arguments), desc=f"verify {dataset_name}", total=total, disable=None)
    )
    made: Manifest = {
        "dataset": dataset_name,
        "splits": {split: [next(entries) for _ in samples] for split, samples in indices.items()},
    }
    if dataset_name in WITHOUT_LABEL_MAPS:
        files = {split: module.annotation_file(root, split) for split in module.SPLITS}
        made["annotations"] = {split: _described(root, file) for split, file in files.items()}
    return made


def check(root: Path, manifest: Manifest) -> None:
    """Quick check before a job: every file exists under `root`, with its size. Raises UserError."""
    for name, expected in _files(manifest):
        path = Path(root) / name
        try:
            found = path.stat().st_size
        except OSError as error:
            raise UserError(f"{path} is in the manifest of {manifest['dataset']}: {error.strerror}") from None
        if found != expected:
            raise UserError(
                f"{path} has {found} bytes, but {expected} in the manifest of {manifest['dataset']}"
            )


def samples(root: Path, manifest: Manifest, split: str) -> list[Sample]:
    """Samples of a split, with their paths under `root`. Raises UserError for an unknown split."""
    check_split(split, tuple(manifest["splits"]), manifest["dataset"])
    return [
        Sample(entry["id"], Path(root) / entry["image"], Path(root) / entry["label"])
        for entry in manifest["splits"][split]
    ]


def _entry(root: Path, dataset_name: str, sample: Sample) -> dict[str, Any]:
    image = read_image(sample.image)
    module = dataset(dataset_name)
    label = module.read_label(sample.label)
    if image.shape[:2] != label.shape:
        raise UserError(
            f"{sample.image} has {_size(image)} pixels, but its label map {sample.label} has {_size(label)}"
        )
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
    dataset(dataset_name).verify(sample)
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


def _files(manifest: Manifest) -> Iterator[tuple[str, int]]:
    """Every file of a manifest and its bytes."""
    for entry in (entry for entries in manifest["splits"].values() for entry in entries):
        names = [entry[kind] for kind in ("image", "label", "instances") if kind in entry]
        yield from zip(names, entry["bytes"], strict=True)
    for described in manifest.get("annotations", {}).values():
        yield described["file"], described["bytes"]


def _size(array: Any) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
