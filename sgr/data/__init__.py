"""Datasets: one module each, found by name, so that a row imports its own dataset and no other."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from sgr.errors import UserError

DATASETS = ("ade20k", "camvid", "cityscapes", "cocostuff10k")
WITHOUT_LABEL_MAPS = ("coco",)  # but with one file of annotations a split


def dataset(name: str) -> ModuleType:
    """The module of a dataset; every such module exports the same names:

    CLASSES, SPLITS: names of the classes (train id = position) and of the splits.
    index(root, split) -> list[Sample]: the samples of a split, sorted; a missing file is a UserError.
    read_label(path) -> (H, W) uint8: train ids, 255 ignored; a value outside the encoding is a UserError.
    write_sample(root, split, number, image, label): one sample in the official layout, from train ids.
    write_lists(root): the official list files of what `root` holds, where the layout has any.

    A module whose dataset has instances also exports THINGS, the classes that have them, instance_file(label),
    read_instances(label) -> (H, W) int32, a number an instance, 0 for none, and write_instances.

    A module of WITHOUT_LABEL_MAPS has no read_label, but annotation_file(root, split), an index of samples of its own,
    and verify(sample), which decodes one.

    Raises UserError for an unknown name.
    """
    known = (*DATASETS, *WITHOUT_LABEL_MAPS)
    if name not in known:
        raise UserError(f"unknown dataset {name!r}: use one of {', '.join(known)}")
    return importlib.import_module(f"sgr.data.{name}")


def locate(name: str, data_root: str | Path) -> Path:
    """Folder of a dataset, `data_root`/`name`. Raises UserError if there is none."""
    folder = Path(data_root) / name
    if not folder.is_dir():
        raise UserError(
            f"no folder {folder} for dataset {name}: "
            "set SGR_DATA or data in cluster.yaml to a folder that holds it"
        )
    return folder
