"""The result files that tables read: results/<profile>/<dataset>/<row>.json and beside it <row>.semantics.json
and <row>.instances.json, of its tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sgr.errors import UserError
from sgr.files import read_json

from .about import About, parse
from .images import Images, of_images

METRICS = ".json"
SEMANTICS = ".semantics.json"
INSTANCES = ".instances.json"  # measured on another dataset's split, INSTANCE_SPLIT
INSTANCE_SPLIT = "val2017"


class Result(NamedTuple):
    """One result file, checked.

    Attributes:
        path: the file, for messages.
        backbone: the network's backbone; empty where the file does not say.
        parameters: number of parameters of the network; None where the file does not say.
        seeds: seed -> split -> metrics.
        about: what it is of.
    """

    path: Path
    backbone: str
    parameters: int | None
    seeds: dict[str, dict[str, Any]]
    about: About

    def flags(self, name: str, split: str = "") -> dict[str, bool]:
        """Whether the flag `name` is set by seed, on `split`, or on any of them unless told."""
        return {
            seed: any(
                of_split.get(one, {}).get(name) is True for one in ([split] if split else self.about.splits)
            )
            for seed, of_split in self.seeds.items()
        }

    def values(self, split: str, name: str) -> dict[str, float]:
        """The metric `name` on `split` by seed, without seeds where it is null (S of images without a label).

        Raises:
            UserError: a seed lacks the metric, or it is no finite number.
        """
        found = {}
        for seed, of_split in self.seeds.items():
            metrics = of_split.get(split)
            value = metrics.get(name, "missing") if isinstance(metrics, dict) else "missing"
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise UserError(
                    f"{self.path}: seed {seed}, split {split}: {name} must be a finite number, not {value}"
                )
            found[seed] = float(value)
        return found


def load(folder: Path, dataset: str, row: str, suffix: str = METRICS) -> Result | None:
    """Result of `row`, or None when there is no such file; `suffix` is SEMANTICS or INSTANCES for the tokens' metrics.

    Args:
        folder: results/<profile>.

    Raises:
        UserError: the file is not a result of this row.
    """
    path = folder / dataset / f"{row}{suffix}"
    if not path.exists():
        return None
    data = read_json(path)
    if not isinstance(data, dict) or not _well_formed(data.get("seeds")):
        raise UserError(f"{path} is not a result: it must hold seeds, each with its splits and their metrics")
    if data.get("row") != row:
        raise UserError(f"{path} is the result of row {data.get('row')!r}, not of {row!r}")
    # Evaluation writes the count beside a seed's splits; it is the same for all seeds.
    parameters = data.get("parameters", next(iter(data["seeds"].values())).get("parameters"))
    if parameters is not None and (isinstance(parameters, bool) or not isinstance(parameters, int)):
        raise UserError(f"{path}: parameters must be the network's number of parameters, not {parameters!r}")
    about = data.get("about")
    about = parse({**about, "dataset": data.get("dataset")} if isinstance(about, dict) else None, path)
    return Result(path, str(data.get("backbone") or ""), parameters, data["seeds"], about)


def measured_on(found: Iterable[Result], dataset: str, split: str) -> str:
    """How many images of which dataset results are of, in words, and that they are generated where they are."""
    about = [result.about for result in found]
    return of_images({of.source for of in about}, [Images(dataset, split, of.splits[split]) for of in about])


def profile_folder(results: Path, profile: str) -> Path:
    """results/<profile>. Raises UserError when it does not exist."""
    folder = results / profile
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: run `dvc repro` with profile {profile!r} first")
    return folder


def _well_formed(seeds: Any) -> bool:
    return (
        isinstance(seeds, dict)
        and bool(seeds)
        and all(isinstance(of_split, dict) for of_split in seeds.values())
    )
