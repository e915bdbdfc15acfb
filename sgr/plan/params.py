"""params.yaml and params/ as one: sections that must fit together are checked before anything runs.

Only `plan` reads this. What a job gets is the resolved, plain JSON that `plan` wrote.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError, model_validator

from sgr import yaml_files
from sgr.errors import UserError
from sgr.models.recipes import RECIPES
from sgr.plan.profiles import Profile
from sgr.plan.sections import (
    Augmentation,
    ComponentExtraction,
    Dataset,
    Detection,
    GloReSettings,
    ProtoSeg,
    Row,
    SGRSettings,
    Sweep,
    Transfer,
    check_splits,
)
from sgr.plan.values import Name, Section


class Params(Section):
    profile: str
    sgr: SGRSettings
    glore: GloReSettings
    components: ComponentExtraction
    augmentation: Augmentation
    protoseg: ProtoSeg
    sweep: Sweep
    detection: Detection
    datasets: dict[Name, Dataset]
    profiles: dict[Name, Profile]
    rows: dict[Name, Row]
    transfer: dict[Name, Transfer]

    @model_validator(mode="after")
    def _datasets_have_their_splits(self) -> Params:
        for name, dataset in self.datasets.items():
            if name == self.detection.dataset:
                raise ValueError(f"datasets: {name} is that of Table 3, its splits stand in detection")
            check_splits(name, dataset.train, *dataset.evaluate, dataset.semantics)
        return self

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> Params:
        taken = dict.fromkeys((*self.datasets, self.detection.dataset), "a dataset")
        taken |= dict.fromkeys((row.backbone for row in self.rows.values()), "a backbone")
        for of, rows in (("rows", [*self.rows]), ("transfer", [*self.transfer])):
            for name in rows:
                if name in taken:
                    raise ValueError(f"{of}: {name!r} is the name of {taken[name]} already")
            taken |= dict.fromkeys(rows, "a row")
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        if self.profile not in self.profiles:
            raise ValueError(f"profile {self.profile!r} is none of {', '.join(self.profiles)}")
        for name, row in self.rows.items():
            if row.dataset not in self.datasets:
                raise ValueError(f"row {name}: dataset {row.dataset!r} is none of {', '.join(self.datasets)}")
        if self.sweep.row not in self.rows or self.rows[self.sweep.row].unit != "sgr":
            raise ValueError(f"sweep.row: there is no row {self.sweep.row!r} with unit: sgr")
        for profile_name, profile in self.profiles.items():
            for name in set(profile.datasets) - set(self.datasets):
                raise ValueError(
                    f"profiles.{profile_name}.datasets: {name!r} is none of {', '.join(self.datasets)}"
                )
            present = (*self.datasets, self.detection.dataset)
            for name in sorted(set(profile.subset) - set(present)):
                raise ValueError(f"profiles.{profile_name}.subset: {name!r} is none of {', '.join(present)}")
            for name, row in self.rows.items():
                if row.backbone not in (*profile.backbones, *RECIPES):
                    raise ValueError(
                        f"row {name}: backbone {row.backbone!r} is none of {', '.join(RECIPES)}, and the backbones of "
                        f"profile {profile_name} put none in its place"
                    )
        for name, transfer in self.transfer.items():
            self._starts_from_a_convolutional_backbone(name, transfer)
        return self

    def _starts_from_a_convolutional_backbone(self, name: str, transfer: Transfer) -> None:
        if transfer.trained is not None and transfer.trained not in self.rows:
            raise ValueError(f"transfer {name}: start: there is no row {transfer.trained!r}")
        backbone = self.backbone(transfer)
        known = sorted({row.backbone for row in self.rows.values()})
        if backbone not in known:
            raise ValueError(f"transfer {name}: start: backbone {backbone!r} is none of {', '.join(known)}")
        for profile_name, profile in self.profiles.items():
            used = profile.backbones.get(backbone, backbone)
            if RECIPES[used].module != "convolutional":
                raise ValueError(
                    f"transfer {name}: Mask R-CNN C4 needs a ResNet or an EfficientNet, not {used!r}, which is "
                    f"{backbone!r} in profile {profile_name}"
                )

    def backbone(self, transfer: Transfer) -> str:
        """The backbone of a transfer row, as the rows of the paper call it."""
        trained = transfer.trained
        return transfer.start.partition("/")[2] if trained is None else self.rows[trained].backbone

    @property
    def chosen(self) -> Profile:
        return self.profiles[self.profile]


def load(path: Path) -> Params:
    """Read and check params.yaml and, in the folder `params` beside it, rows.yaml and profiles/<name>.yaml.

    Raises:
        UserError: naming the first key that is wrong, its file and what would be right; or the row whose settings
            contradict each other.
    """
    from sgr.plan.resolve import check  # it resolves what is defined here

    content = yaml_files.read(path)
    of_key = dict.fromkeys(content, path)
    if (rows := path.parent / "params" / "rows.yaml").exists():
        for key, value in yaml_files.read(rows).items():
            if key in content:
                raise UserError(f"{rows}: {key} stands in {path.name} too; keep one of them")
            content[key], of_key[key] = value, rows
    profiles = sorted((path.parent / "params" / "profiles").glob("*.yaml"))
    if profiles:
        content["profiles"] = {profile.stem: yaml_files.read(profile) for profile in profiles}
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        match first["loc"]:
            case ("profiles", str(name), *keys) if profiles:
                file = path.parent / "params" / "profiles" / f"{name}.yaml"
            case (name, *_) as keys:
                file = of_key.get(str(name), path)
            case keys:  # of several sections together: all but these speak of rows
                here = first["msg"].removeprefix("Value error, ").startswith(("profile ", "unknown key "))
                file = path if here or not rows.exists() else rows
        if keys and keys[-1] == "[key]":  # the name before it is what is wrong
            keys = keys[:-2]
        key = ".".join(str(part) for part in keys)
        what = yaml_files.complaint(first)
        # a whole section is too long to repeat
        told = first["type"] == "missing" or isinstance(first["input"], dict)
        got = "" if told or not (key or first["loc"]) else f", not {first['input']!r}"
        raise UserError(f"{file.relative_to(path.parent)}: {key + ': ' if key else ''}{what}{got}") from None
    check(params)
    return params
