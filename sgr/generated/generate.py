"""Write generated scenes in the official layout of a dataset, so that its real loader reads them."""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sgr.data.files import IGNORE, Bytes, check_split
from sgr.data.parallel import in_parallel
from sgr.datasets import Generated, Scene, describe
from sgr.errors import UserError
from sgr.files import read_json, sha256_file, write_json
from sgr.generated import scenes

MARKER = "generated.json"  # in the root of every generated dataset: what it was generated from


def generate(dataset: str, root: Path, counts: Mapping[str, int], size: tuple[int, int], seed: int) -> None:
    """Write `counts[split]` scenes of each split under `root`; the folder appears when it is whole.

    A folder generated from the same arguments and code is left alone; from others, it is replaced.

    Args:
        size: (height, width) in pixels; where a dataset's real images vary in size, so do these, by up to a quarter
            more on each side.
        seed: non-negative; a scene depends on (seed, dataset, split, number) only, not on the counts.

    Raises:
        UserError: the dataset or split is unknown or cannot be generated, or `root` holds something that was not
            generated.
    """
    made, root = generated_as(dataset), Path(root).absolute()
    for split in counts:
        check_split(split, tuple(describe(dataset).splits), dataset)
    recipe = _recipe(dataset, counts, size, seed)
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
        scene = (aside, dataset, size, seed)
        for _ in in_parallel(_write, ((*scene, split, n) for split in counts for n in range(counts[split]))):
            pass
        made.finish(aside)
        write_json(aside / MARKER, recipe)
        os.sync()
        if root.exists():
            root.rename(replaced)
        aside.rename(root)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def draw(dataset: str, size: tuple[int, int], seed: int, split: str, number: int) -> Scene:
    """One scene in the terms of a dataset; arguments as in `generate`."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{dataset} {split}".encode()), number])
    description = describe(dataset)
    if description.varying_sizes:
        height, width = (int(rng.integers(side, side + side // 4 + 1)) for side in size)
        size = (height, width)
    image, roles, instances = scenes.scene(rng, size, detection=not description.label_maps)
    return Scene(image, class_of_role(dataset)[roles], instances)


def class_of_role(dataset: str) -> Bytes:
    """(256,) train id of each of the painter's ROLES in a dataset, IGNORE where there is none and behind them."""
    classes = describe(dataset).classes
    table = np.full(256, IGNORE, dtype=np.uint8)
    for role, name in enumerate(generated_as(dataset).roles):
        if name is not None:
            table[role] = classes.index(name)
    return table


def generated_as(dataset: str) -> Generated:
    """How scenes become a dataset. Raises UserError for one that is never generated."""
    found = describe(dataset).generated
    if found is None:
        raise UserError(
            f"{dataset} cannot be generated: sgr/datasets/{dataset}.py says nothing of `generated`"
        )
    return found


def _write(root: Path, dataset: str, size: tuple[int, int], seed: int, split: str, number: int) -> None:
    generated_as(dataset).write(root, split, number, draw(dataset, size, seed, split, number))


def _recipe(dataset: str, counts: Mapping[str, int], size: tuple[int, int], seed: int) -> dict[str, Any]:
    """What a generated dataset was made from."""
    modules = [f"generated.{name}" for name in ("generate", "painter", "scenes", "writing")]
    modules += [f"datasets.{dataset}", f"data.{dataset}"]
    files = {
        module: Path(__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py")
        for module in modules
    }
    return {
        "dataset": dataset,
        "counts": dict(counts),
        "size": list(size),
        "seed": seed,
        "sources": {module: sha256_file(file) for module, file in files.items()},
    }
