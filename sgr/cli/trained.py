"""The trained network of a row, as its training stage left it here, or as `dvc pull` brought it."""

from __future__ import annotations

import sys
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sgr.errors import UserError

if TYPE_CHECKING:
    from sgr.evaluation.settings import EvaluateSettings
    from sgr.plan.entry import Entry
    from sgr.plan.params import Params


class Trained(NamedTuple):
    """A trained row: what its evaluation computes with, the seed, its weights, and what it is in a sentence."""

    entry: Entry[EvaluateSettings]
    seed: int
    weights: Path
    about: str


def trained(row: str, seed: int | None, profile: str | None) -> Trained:
    """The trained network of a row; without `seed` its first, without `profile` that of params.yaml.

    A network whose settings or code have changed since is told on stderr.

    Raises:
        UserError: for an unknown row, a detector, or a row or seed that has not been trained here.
    """
    from sgr.evaluation.settings import EvaluateSettings
    from sgr.plan.entry import read
    from sgr.plan.params import load

    params = load(Path("params.yaml"))
    profile = profile or params.profile
    _check(params, profile, row)
    entry = read(EvaluateSettings, profile, "evaluate", row)
    if seed is not None and seed not in entry.seeds:
        raise UserError(f"row {row} has no seed {seed} in profile {profile}: use {_listed(entry.seeds)}")
    seed = entry.seeds[0] if seed is None else seed
    weights = Path("work", profile, "train", row, str(seed), "model.safetensors")
    train = f"`python -m sgr repro train@{row}`"
    if not weights.is_file():
        raise UserError(
            f"row {row} is not trained in profile {profile}: run {train}, or `dvc pull` if somebody did"
        )
    if _changed(profile, entry):
        print(f"{row}: its settings or its code have changed since it was trained: {train}", file=sys.stderr)
    return Trained(entry, seed, weights, _about(params, profile, entry, seed))


def network(found: Trained) -> Any:
    """The same as a `sgr.use.hub.TrainedNetwork`, in evaluation mode, on the CPU.

    Raises:
        UserError: if the weights are of another network than the plan's.
    """
    from dataclasses import asdict

    from sgr.datasets import describe
    from sgr.models import weights_file
    from sgr.report.palette import palette
    from sgr.use.hub import TrainedNetwork

    settings, dataset = found.entry.settings, describe(found.entry.dataset)
    colours = palette(dataset.palette, len(settings.classes)).tolist()
    made = TrainedNetwork(
        asdict(settings.seen.network), settings.seen.resize, list(settings.classes), colours, found.about
    )
    tensors = weights_file.read(found.weights)
    try:
        made.network.load_state_dict(tensors)
    except RuntimeError:
        row = found.entry.row
        raise UserError(
            f"{found.weights} holds another network than row {row} has now: run `python -m sgr repro train@{row}`"
        ) from None
    return made.eval()


def _check(params: Params, profile: str, row: str) -> None:
    if profile not in params.profiles:
        raise UserError(f"there is no profile {profile!r}: use one of {_listed(params.profiles)}")
    if row in params.transfer:
        raise UserError(
            f"row {row} is a detector of Table 3: name a row that segments, such as {next(iter(params.rows))}"
        )
    if row not in params.rows:
        raise UserError(f"params/rows.yaml: there is no row {row!r}, the rows are {_listed(params.rows)}")


def _changed(profile: str, entry: Entry[Any]) -> bool:
    """Whether the plan has another training of the row than the one that DVC's lock tells of."""
    from sgr import yaml_files
    from sgr.plan.entry import path

    lock, plan = Path("stages", entry.dataset, entry.row, "dvc.lock"), path(profile, "train", entry.row)
    if not lock.is_file() or not plan.is_file():
        return False
    stage = yaml_files.read(lock).get("stages", {}).get(f"train@{profile}", {})
    read = {file["path"]: file["md5"] for file in stage.get("deps", ())}
    return read.get(str(plan)) != md5(plan.read_bytes()).hexdigest()


def _about(params: Params, profile: str, entry: Entry[Any], seed: int) -> str:
    from sgr.datasets import describe
    from sgr.report import labels

    images = "generated images in the place of " if entry.generated else ""
    method, backbone = labels.network(params.rows[entry.row]).method, labels.backbone_title(entry.backbone)
    return (
        f"{method} with {backbone}, trained on {images}{describe(entry.dataset).title} "
        f"(row {entry.row}, profile {profile}, seed {seed})"
    )


def _listed(words: Any) -> str:
    return ", ".join(map(str, words))
