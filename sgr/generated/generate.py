"""Write generated scenes in the official layout of a dataset, so that its real loader reads them."""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from sgr.data import WITHOUT_LABEL_MAPS, dataset
from sgr.data.files import IGNORE, Bytes, check_split, in_parallel
from sgr.errors import UserError
from sgr.files import read_json, sha256_file, write_json
from sgr.generated import painter, scenes

MARKER = "generated.json"  # in the root of every generated dataset: what it was generated from

# Class of each role of sgr.generated.painter, in the order of ROLES: the role's own, or the nearest one left, or none.
CLASS_OF_ROLE: dict[str, tuple[str | None, ...]] = {
    "ade20k": ("sky", "water", "road", "grass", "building", "tree", "car", "boat", "person", "pole", "fence"),
    "camvid": (
        "sky",
        "pavement",
        "road",
        "fence",
        "building",
        "tree",
        "car",
        "bicyclist",
        "pedestrian",
        "pole",
        "sign",
    ),
    "cityscapes": (
        "sky",
        "terrain",
        "road",
        "sidewalk",
        "building",
        "vegetation",
        "car",
        "bus",
        "person",
        "pole",
        "fence",
    ),
    "coco": (None, None, None, None, None, None, "car", "boat", "person", None, None),
    "cocostuff10k": (
        "sky-other",
        "water-other",
        "road",
        "grass",
        "building-other",
        "tree",
        "car",
        "boat",
        "person",
        "traffic light",
        "fence",
    ),
}
_VARYING = ("ade20k", "coco", "cocostuff10k")  # datasets whose real images differ in size


def generate(dataset_name: str, root: Path, counts: dict[str, int], size: tuple[int, int], seed: int) -> None:
    """Write `counts[split]` scenes of each split under `root`; the folder appears when it is whole.

    A folder generated from the same arguments and code is left alone; from others, it is replaced.

    Args:
        size: (height, width) in pixels; ADE20K's, COCO's and COCO-Stuff's images are up to a quarter larger on each
        side. seed: non-negative; a scene depends on (seed, dataset, split, number) only, not on the counts.

    Raises:
        UserError: unknown dataset or split, or `root` holds something that was not generated.
    """
    module, root = dataset(dataset_name), Path(root).absolute()
    for split in counts:
        check_split(split, module.SPLITS, dataset_name)
    recipe = _recipe(module.__file__, dataset_name, counts, size, seed)
    if root.exists() and any(root.iterdir()):
        if not (root / MARKER).is_file():
            raise UserError(
                f"{root} holds files that were not generated: give an empty folder for generated data"
            )
        if read_json(root / MARKER) == recipe:
            return

    root.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    replaced = aside.with_name(f"{aside.name}.replaced")
    try:
        aside.chmod(0o755)
        scene = (aside, dataset_name, size, seed)
        for _ in in_parallel(_write, ((*scene, split, n) for split in counts for n in range(counts[split]))):
            pass
        module.write_lists(aside)
        write_json(aside / MARKER, recipe)
        os.sync()
        if root.exists():
            root.rename(replaced)
        aside.rename(root)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def draw(dataset_name: str, size: tuple[int, int], seed: int, split: str, number: int) -> tuple[Bytes, Bytes]:
    """One scene: image (H, W, 3) uint8 and train ids (H, W) uint8 of a dataset, 255 ignored."""
    return draw_instances(dataset_name, size, seed, split, number)[:2]


def draw_instances(
    dataset_name: str, size: tuple[int, int], seed: int, split: str, number: int
) -> tuple[Bytes, Bytes, Bytes]:
    """The same, and the instances (H, W) uint8 of its things: 1, 2, ..., groups from FIRST_GROUP on, 0 elsewhere."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{dataset_name} {split}".encode()), number])
    if dataset_name in _VARYING:
        height, width = (int(rng.integers(side, side + side // 4 + 1)) for side in size)
        size = (height, width)
    image, roles, instances = scenes.drawn(rng, size, detection=dataset_name in WITHOUT_LABEL_MAPS)
    table = np.full(256, IGNORE, dtype=np.uint8)
    table[: len(painter.ROLES)] = class_of_role(dataset_name)
    return image, table[roles], instances


def class_of_role(dataset_name: str) -> list[int]:
    """Train id of each of ROLES in a dataset, IGNORE where none is."""
    classes = dataset(dataset_name).CLASSES
    return [IGNORE if name is None else classes.index(name) for name in CLASS_OF_ROLE[dataset_name]]


def _write(root: Path, dataset_name: str, size: tuple[int, int], seed: int, split: str, number: int) -> None:
    module = dataset(dataset_name)
    image, label, instances = draw_instances(dataset_name, size, seed, split, number)
    module.write_sample(root, split, number, image, label)
    if hasattr(module, "write_instances"):
        module.write_instances(root, split, number, label, instances)


def _recipe(
    module_file: str | None, dataset_name: str, counts: dict[str, int], size: tuple[int, int], seed: int
) -> dict[str, Any]:
    sources = [__file__, painter.__file__, scenes.__file__, module_file or ""]
    return {
        "dataset": dataset_name,
        "counts": counts,
        "size": list(size),
        "seed": seed,
        "sources": {Path(source).name: sha256_file(source) for source in sources},
    }
