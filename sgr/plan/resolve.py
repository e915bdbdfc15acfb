"""A row's settings, resolved: the profile's, over them its dataset's, its family's, params.yaml's and its own."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from sgr.datasets import describe
from sgr.errors import UserError
from sgr.models.families import FAMILIES
from sgr.models.settings import NetworkSettings, Part
from sgr.plan.params import Params
from sgr.plan.sections import GloReSettings, Row, SGRSettings, Training
from sgr.plan.values import Section
from sgr.training.settings import Augmentation, LoopSettings, OptimizerSettings

Kind = TypeVar("Kind", bound=Section)

# Of the section sgr, what the loss takes; `beta` is its weight, and the rest is the unit's.
OF_LOSS = ("L", "rho", "gamma", "union", "focal_alpha", "focal_gamma")
MADE_BY = {"sgr": "sgr.unit:SGR", "glore": "sgr.glore:GloRe"}


class Supervision(NamedTuple):
    """The concept loss of a row and its weight; no loss where tokens are not supervised."""

    loss: Part | None
    beta: float


def check(params: Params) -> None:
    """Refuse a row whose settings contradict each other.

    Rows are checked as the chosen profile has them, and as each other profile alone would: what is overridden, by
    `-S sgr.K=16` for instance, is meant for the chosen one.

    Raises:
        UserError: naming the profile, the row and the settings.
    """
    for profile in (params.profile, *(params.profiles.keys() - {params.profile})):
        seen = params if profile == params.profile else _alone(params, profile)
        for name in seen.rows:
            network(seen, name)
            supervision(seen, name)
            training(seen, name)


def _alone(params: Params, profile: str) -> Params:
    """The parameters as a profile has them where neither params.yaml nor a row overrides it."""
    of_profile = params.profiles[profile]
    layers = {
        name: getattr(params, name).model_copy(update=getattr(of_profile, name).model_dump(exclude_none=True))
        for name in ("sgr", "glore")
    }
    plain = {"sgr": SGRSettings(), "glore": GloReSettings(), "training": Training()}
    rows = {name: row.model_copy(update=plain) for name, row in params.rows.items()}
    return params.model_copy(update={"profile": profile, "rows": rows, **layers})


def network(params: Params, name: str) -> NetworkSettings:
    """The network of a row."""
    row, profile = params.rows[name], params.chosen
    family = profile.family(row.family)
    if profile.backbone(row.backbone).module == "hrnet" and family.stride != 32:
        raise _clash(params, name, f"family {row.family} has stride = {family.stride}, but HRNet's is 32")
    head = family.head
    if row.prototypes:
        prototypes = Part(
            "sgr.models.heads.prototypes:PrototypeHead", params.protoseg.model_dump(mode="json")
        )
        head |= {"prototypes": {"made_by": prototypes.made_by, "arguments": prototypes.arguments}}
    return NetworkSettings(
        profile.backbone(row.backbone).settings(family.stride),
        Part(f"sgr.models.heads.{row.family}:head", head),
        unit(params, name),
        len(describe(row.dataset).classes),
    )


def unit(params: Params, name: str) -> Part | None:
    """SGR, GloRe or nothing between the backbone and the head of a row."""
    row = params.rows[name]
    if row.unit == "none":
        return None
    if row.unit == "glore":
        layers = (params.chosen.glore, params.glore, row.glore)
        return Part(MADE_BY["glore"], _layered(GloReSettings, *layers, of=f"{name}: glore"))
    settings = _sgr(params, row, name)
    return Part(MADE_BY["sgr"], {k: v for k, v in settings.items() if k not in (*OF_LOSS, "beta")})


def supervision(params: Params, name: str) -> Supervision:
    """The concept loss of a row."""
    row = params.rows[name]
    settings = _sgr(params, row, name) if row.unit == "sgr" else {"beta": 0.0}
    if not settings["beta"]:
        return Supervision(None, 0.0)
    loss = Part("sgr.losses:ConceptLoss", {key: settings[key] for key in OF_LOSS})
    return Supervision(loss, settings["beta"])


def training(params: Params, name: str) -> Training:
    """Training settings of a row, none of which is None."""
    row, profile = params.rows[name], params.chosen
    of_dataset = profile.datasets.get(row.dataset, Training())
    layers = (profile.training, of_dataset, profile.family(row.family).training, row.training)
    found = Training(**_layered(Training, *layers, of=f"{name}: training"))
    _numbers_fit(params, name, found)
    return found


def _numbers_fit(params: Params, name: str, found: Training) -> None:
    family, stride = params.rows[name].family, params.chosen.family(params.rows[name].family).stride
    batch, parts, iterations, warmup = found.batch_size, found.accumulate, found.iterations, found.warmup
    assert batch and parts and iterations and warmup is not None and found.crop
    if batch % parts:
        raise _clash(params, name, f"batch_size = {batch} must be a multiple of accumulate = {parts}")
    if batch == parts and (FAMILIES[family].pools or max(found.crop) <= stride):
        why = f"{family} normalizes maps of one cell"
        raise _clash(params, name, f"batch_size = {batch} must be at least twice accumulate = {parts}: {why}")
    if warmup >= iterations:
        raise _clash(params, name, f"warmup = {warmup} must lie below iterations = {iterations}")
    if min(found.crop) < stride:
        raise _clash(
            params,
            name,
            f"crop = {list(found.crop)} must be at least the stride of {family}, {stride}, a side",
        )


def _clash(params: Params, name: str, what: str) -> UserError:
    """Settings of several files that do not fit together."""
    return UserError(f"params.yaml: profile {params.profile}: row {name}: {what}")


def loop(settings: Section, **more: Any) -> LoopSettings:
    """What the training loop takes of a section of params.yaml."""
    return LoopSettings(**_fields(LoopSettings, settings, more))


def optimizer(settings: Section, **more: Any) -> OptimizerSettings:
    """What the optimizer takes of it."""
    return OptimizerSettings(**_fields(OptimizerSettings, settings, more))


def augmentation(params: Params, row: Row, settings: Training) -> Augmentation:
    """How a row's training images are cropped; images are scaled by `resize` before all else."""
    assert settings.crop and settings.resize
    small, large = (settings.resize * scale for scale in params.augmentation.scale)
    jitter = params.datasets[row.dataset].jitter
    return Augmentation(settings.crop, (small, large), params.augmentation.flip, jitter)


def _sgr(params: Params, row: Row, name: str) -> dict[str, Any]:
    layers = (params.chosen.sgr, params.sgr, row.sgr)
    settings = _layered(SGRSettings, *layers, of=f"{name}: sgr")
    if settings["L"] > settings["K"]:
        raise _clash(params, name, f"sgr.L = {settings['L']} must not exceed sgr.K = {settings['K']}")
    if settings["reasoning"] == "transformer" and settings["D"] % settings["heads"]:
        raise _clash(params, name, f"sgr.heads = {settings['heads']} must divide sgr.D = {settings['D']}")
    return settings


def _layered(kind: type[Section], *layers: Section, of: str) -> dict[str, Any]:
    """Later layers win; null means "not said here". All keys must be said somewhere."""
    merged: dict[str, Any] = dict.fromkeys(kind.model_fields)
    for layer in layers:
        merged |= {key: value for key, value in layer.model_dump(mode="json").items() if value is not None}
    missing = [key for key, value in merged.items() if value is None]
    if missing:
        raise UserError(
            f"params/rows.yaml: row {of}.{missing[0]} is set neither by the row nor by the profile"
        )
    return merged


def _fields(kind: Any, settings: Section, more: dict[str, Any]) -> dict[str, Any]:
    return {
        name: more[name] if name in more else getattr(settings, name) for name in kind.__dataclass_fields__
    }
