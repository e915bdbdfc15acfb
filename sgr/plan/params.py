"""params.yaml and params/, typed: every key is checked before anything runs, an unknown one is refused.

Only `plan` reads this. What a job gets is the resolved, plain JSON that `plan` wrote.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    model_validator,
)

from sgr.errors import UserError
from sgr.models.families import FAMILIES
from sgr.models.recipes import RECIPES, Recipe


def _distinct(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a number stands there twice, but each is one job")
    return values


Positive = Annotated[int, Field(ge=1)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_distinct)]
Values = Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(_distinct)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Size = tuple[Positive, Positive]


def _known_family(name: str) -> str:
    if name not in FAMILIES:
        raise ValueError(f"must be one of {', '.join(FAMILIES)}")
    return name


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, values: Any) -> Any:
        unknown = [key for key in values if key not in cls.model_fields] if isinstance(values, dict) else []
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}, the known ones are {', '.join(cls.model_fields)}")
        return values


class SGRSettings(Section):
    """The unit and its loss. `null` takes the profile's value; a row may set its own."""

    K: Positive | None = None
    L: Positive | None = None
    D: Positive | None = None
    heads: Positive | None = None
    layers: Positive | None = None
    reasoning: Literal["transformer", "graph"] | None = None
    xy_embedding: bool | None = None
    centroid_embedding: bool | None = None
    token_normalization: Literal["area", "none"] | None = None
    concept_prior: Annotated[float, Field(gt=0, lt=1)] | None = None
    union: Literal["sum", "probabilistic"] | None = None
    rho: Weight | None = None
    gamma: Weight | None = None
    beta: Weight | None = None
    focal_alpha: Share | None = None
    focal_gamma: Weight | None = None


class GloReSettings(Section):
    K: Positive | None = None
    D: Positive | None = None


class ComponentExtraction(Section):
    opening: Annotated[int, Field(ge=0)]
    min_share: Share


class Augmentation(Section):
    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
    flip: bool


class Inference(Section):
    scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    flip: bool


class Dataset(Section):
    """What the field does with a dataset, whatever the profile."""

    train: str
    evaluate: Annotated[tuple[str, ...], Field(min_length=1)]
    semantics: str
    jitter: Share


class Training(Section):
    """One training job; a profile gives all, a dataset of the profile or a row overrides."""

    iterations: Positive | None = None
    batch_size: Positive | None = None
    accumulate: Positive | None = None
    crop: Size | None = None
    resize: Annotated[float, Field(gt=0, le=1)] | None = None
    optimizer: Literal["sgd", "adamw"] | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    head_multiplier: Annotated[float, Field(gt=0)] | None = None
    momentum: Share | None = None
    weight_decay: Weight | None = None
    power: Annotated[float, Field(gt=0)] | None = None
    warmup: Annotated[int, Field(ge=0)] | None = None
    gradient_clip: Weight | None = None
    precision: Literal["fp32", "bf16"] | None = None
    channels_last: bool | None = None
    compile: bool | None = None
    log_every: Positive | None = None


class FamilySettings(Section):
    """A segmentation framework in a profile: stride of its backbone, settings of its training, and of its head."""

    stride: Literal[8, 16, 32]
    training: Training = Training()

    @property
    def head(self) -> dict[str, Any]:
        """The arguments of the family's head."""
        return self.model_dump(mode="json", exclude={"stride", "training"})


def _families() -> type[Section]:
    """One section a family, each with what `sgr.models.families` says that its head takes."""
    sections: dict[str, Any] = {}
    for name, family in FAMILIES.items():
        fields: dict[str, Any] = {key: (kind, ...) for key, kind in family.head.items()}
        sections[name] = (create_model(name, __base__=FamilySettings, **fields), ...)
    return create_model("Families", __base__=Section, **sections)


Families = _families()


class Detection(Section):
    """Table 3: its dataset, and the splits that it trains and evaluates on."""

    dataset: Literal["coco"]
    train: str
    evaluate: str


class DetectorTraining(Section):
    """Fine-tuning by SGD; the rate is divided by 10 at each milestone."""

    iterations: Positive
    batch_size: Positive
    accumulate: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    head_multiplier: Annotated[float, Field(gt=0)]
    momentum: Share
    weight_decay: Weight
    warmup: Annotated[int, Field(ge=0)]
    milestones: tuple[Positive, ...]
    gradient_clip: Weight
    channels_last: bool
    log_every: Positive

    @model_validator(mode="after")
    def _numbers_fit(self) -> DetectorTraining:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size = {self.batch_size} must be a multiple of accumulate = {self.accumulate}"
            )
        if list(self.milestones) != sorted({*self.milestones} & {*range(self.iterations)}):
            raise ValueError(
                f"milestones = {list(self.milestones)} must rise and lie below iterations = {self.iterations}"
            )
        return self


class Detector(Section):
    """Mask R-CNN C4 of a profile; sides in pixels.

    Training draws the shorter side of an image from `min_sizes`, evaluation takes the last.
    """

    min_sizes: Values
    max_size: Positive
    anchors: Values
    proposals: Positive
    boxes: Positive
    training: DetectorTraining


class Transfer(Section):
    """A row of Table 3, by the output of the stage that it starts from: `weights/<backbone>` or `train/<row>`."""

    start: Annotated[str, Field(pattern=r"^(weights|train)/[^/]+$")]
    seeds: Seeds | None = None

    @property
    def trained(self) -> str | None:
        """The row whose network it starts from; None for a backbone's weights."""
        stage, _, name = self.start.partition("/")
        return name if stage == "train" else None


class Images(Section):
    """Generated images of the training split, and of each other split."""

    train: Positive
    test: Positive


class Generated(Section):
    """Sizes of the generated datasets, in images and pixels; `detection` is of that dataset, if it differs."""

    images: Images
    detection: Images | None = None
    size: Size
    seed: int


class Grid(Section):
    """The values of K and L that the sweep pairs; where L > K there is no network."""

    K: Values
    L: Values

    @model_validator(mode="after")
    def _has_a_pair(self) -> Grid:
        if min(self.L) > max(self.K):
            raise ValueError(f"no L of {list(self.L)} is at most a K of {list(self.K)}")
        return self


class Profile(Section):
    data: Literal["generated", "folder"]
    generated: Generated | None = None
    # dataset -> images of each split, for a part of a dataset in a folder
    subset: dict[str, Positive] = {}
    threads: Positive
    seeds: Seeds
    backbones: dict[str, str]
    pretrained: bool
    families: Families  # type: ignore[valid-type]
    inference: Inference
    examples: Positive
    sgr: SGRSettings
    glore: GloReSettings
    sweep: Grid
    overhead_repeats: Positive
    training: Training
    detection: Detector
    datasets: dict[str, Training] = {}

    def family(self, name: str) -> FamilySettings:
        """The settings of a framework."""
        found: FamilySettings = getattr(self.families, name)
        return found

    def backbone(self, name: str) -> Recipe:
        """The backbone that stands in the place of one of the paper's."""
        return RECIPES[self.backbones.get(name, name)]

    @model_validator(mode="after")
    def _generated_has_sizes(self) -> Profile:
        if self.data == "generated" and self.generated is None:
            raise ValueError("data: generated needs a section 'generated' with images, size and seed")
        if self.data == "generated" and self.subset:
            raise ValueError(
                "subset is a part of a dataset in a folder; generated.images says how many are generated"
            )
        return self


class ProtoSeg(Section):
    """ProtoSeg's classifier: prototypes of each class, found by Sinkhorn clustering, and its two losses."""

    prototypes: Positive
    momentum: Share
    kappa: Annotated[float, Field(gt=0)]
    iterations: Positive
    temperature: Annotated[float, Field(gt=0)]
    contrast: Weight
    distance: Weight


class Sweep(Section):
    """Sensitivity to K and L: the row that is trained with each pair of them."""

    row: str


class Row(Section):
    """A row of a table.

    `prototypes` puts ProtoSeg's classifier in the place of the linear one. `instances`: the row's tokens are compared
    with the instances of MS-COCO too.
    """

    dataset: str
    family: Annotated[str, AfterValidator(_known_family)]
    backbone: str
    unit: Literal["none", "glore", "sgr"] = "none"
    prototypes: bool = False
    instances: bool = False
    sgr: SGRSettings = SGRSettings()
    glore: GloReSettings = GloReSettings()
    training: Training = Training()
    seeds: Seeds | None = None

    @model_validator(mode="after")
    def _masks_have_no_prototypes(self) -> Row:
        if self.prototypes and not FAMILIES[self.family].prototypes:
            able = ", ".join(name for name, family in FAMILIES.items() if family.prototypes)
            raise ValueError(f"prototypes are for a family of {able}, not {self.family!r}")
        return self

    @model_validator(mode="after")
    def _instances_need_regions(self) -> Row:
        if self.instances and not self.has_regions:
            raise ValueError("instances: a row without a unit and without queries has no regions to compare")
        return self

    @property
    def has_regions(self) -> bool:
        """Whether S and D can be measured: of the unit's regions, or of the masks of queries."""
        return self.unit != "none" or FAMILIES[self.family].queries


class Params(Section):
    profile: str
    sgr: SGRSettings
    glore: GloReSettings
    components: ComponentExtraction
    augmentation: Augmentation
    protoseg: ProtoSeg
    sweep: Sweep
    detection: Detection
    datasets: dict[str, Dataset]
    profiles: dict[str, Profile]
    rows: dict[str, Row]
    transfer: dict[str, Transfer]

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
            for name in {profile.backbones.get(row.backbone, row.backbone) for row in self.rows.values()}:
                if name not in RECIPES:
                    raise ValueError(
                        f"profiles.{profile_name}.backbones: {name!r} is none of {', '.join(RECIPES)}"
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
        UserError: naming the first key that is wrong, its file and what would be right.
    """
    content = _read(path)
    of_key = dict.fromkeys(content, path)
    if (rows := path.parent / "params" / "rows.yaml").exists():
        for key, value in _read(rows).items():
            if key in content:
                raise UserError(f"{rows}: {key} stands in {path.name} too; keep one of them")
            content[key], of_key[key] = value, rows
    profiles = sorted((path.parent / "params" / "profiles").glob("*.yaml"))
    if profiles:
        content["profiles"] = {profile.stem: _read(profile) for profile in profiles}
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        match first["loc"]:
            case ("profiles", str(name), *keys) if profiles:
                file = path.parent / "params" / "profiles" / f"{name}.yaml"
            case (name, *_) as keys:
                file = of_key.get(str(name), path)
            case keys:  # of several sections together: all but the choice of the profile speak of rows
                file = path if "profile " in first["msg"] or not rows.exists() else rows
        key = ".".join(str(part) for part in keys)
        what = first["msg"].removeprefix("Value error, ")
        # a whole section is too long to repeat
        told = first["type"] == "missing" or isinstance(first["input"], dict)
        got = "" if told or not key else f", not {first['input']!r}"
        raise UserError(f"{file.relative_to(path.parent)}: {key + ': ' if key else ''}{what}{got}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run in the project's folder") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold keys and their values")
    return content
