"""params.yaml and params/, typed: every key is checked before anything runs, an unknown one is refused.

Only `plan` reads this. What a job gets is the resolved, plain JSON that `plan` wrote.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    model_validator,
)

from sgr import datasets, yaml_files
from sgr.errors import UserError
from sgr.models.families import FAMILIES, Positive
from sgr.models.recipes import RECIPES, Recipe
from sgr.plan import names

T = TypeVar("T")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a value stands there twice")
    return values


def _rising(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(values):
        raise ValueError("the values must rise")
    return values


Name = Annotated[str, AfterValidator(names.plain)]
WiderName = Annotated[str, AfterValidator(names.wider)]
# YAML has lists and no tuples, so `strict` is of the values alone
Pair = Annotated[tuple[T, T], Field(strict=False)]
Several = Annotated[tuple[T, ...], Field(strict=False, min_length=1), AfterValidator(_distinct)]

# Where the other end of a range is not the mathematics', it is there to catch slips such as one digit too many.
Tokens = Annotated[int, Field(ge=1, le=2**13)]  # attention holds their square: 0.3 GB a head and image
Iterations = Annotated[int, Field(ge=1, le=10**7)]
Side = Annotated[int, Field(ge=8, le=2**13)]  # pixels
Scale = Annotated[float, Field(ge=0.1, le=10)]  # of images
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # NumPy's limit
Share = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Rate = Annotated[float, Field(gt=0, le=1000)]


def _known_family(name: str) -> str:
    if name not in FAMILIES:
        raise ValueError(f"must be one of {', '.join(FAMILIES)}")
    return name


def _known_backbone(name: str) -> str:
    if name not in RECIPES:
        raise ValueError(f"must be one of {', '.join(RECIPES)}")
    return name


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, values: Any) -> Any:
        unknown = [key for key in values if key not in cls.model_fields] if isinstance(values, dict) else []
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}, the known ones are {', '.join(cls.model_fields)}")
        return values


class SGRSettings(Section):
    """The unit and its loss. `null` takes the profile's value; a row may set its own."""

    K: Tokens | None = None
    L: Tokens | None = None
    D: Tokens | None = None
    heads: Tokens | None = None
    layers: Annotated[int, Field(ge=1, le=64)] | None = None
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
    K: Tokens | None = None
    D: Tokens | None = None


class ComponentExtraction(Section):
    opening: Annotated[int, Field(ge=0, le=255)]
    min_share: Share


class Augmentation(Section):
    scale: Annotated[Pair[Scale], AfterValidator(_rising)]
    flip: bool


class Inference(Section):
    scales: Several[Scale]
    flip: bool


class Dataset(Section):
    """What the field does with a dataset, whatever the profile."""

    train: str
    evaluate: Several[str]
    semantics: str
    jitter: Share

    @model_validator(mode="after")
    def _training_images_are_not_evaluated(self) -> Dataset:
        if self.train in (*self.evaluate, self.semantics):
            raise ValueError(f"{self.train!r}, the split that is trained on, is evaluated too")
        return self


class Training(Section):
    """One training job; a profile gives all, a dataset of the profile or a row overrides."""

    iterations: Iterations | None = None
    batch_size: Positive | None = None
    accumulate: Positive | None = None
    crop: Pair[Side] | None = None
    resize: Annotated[float, Field(ge=0.05, le=1)] | None = None
    optimizer: Literal["sgd", "adamw"] | None = None
    learning_rate: Rate | None = None
    head_multiplier: Rate | None = None
    momentum: Momentum | None = None
    weight_decay: Weight | None = None
    power: Rate | None = None
    warmup: Annotated[int, Field(ge=0)] | None = None
    gradient_clip: Weight | None = None
    precision: Literal["fp32", "bf16"] | None = None
    channels_last: bool | None = None
    compile: bool | None = None
    log_every: Iterations | None = None


class FamilySettings(Section):
    """A segmentation framework in a profile: stride of its backbone, settings of its training, and of its head."""

    stride: Literal[8, 16, 32]
    training: Training = Training()

    @model_validator(mode="after")
    def _width_can_be_divided(self) -> FamilySettings:
        head = self.head
        if "heads" in head and head["width"] % math.lcm(32, head["heads"]):
            raise ValueError(
                f"width = {head['width']} must be a multiple of 32, for its group norms, and of heads = {head['heads']}"
            )
        return self

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

    @model_validator(mode="after")
    def _splits_exist(self) -> Detection:
        _check_splits(self.dataset, self.train, self.evaluate)
        if self.train == self.evaluate:
            raise ValueError(f"{self.train!r}, the split that is trained on, is evaluated too")
        return self


class DetectorTraining(Section):
    """Fine-tuning by SGD; the rate is divided by 10 at each milestone."""

    iterations: Iterations
    batch_size: Positive
    accumulate: Positive
    learning_rate: Rate
    head_multiplier: Rate
    momentum: Momentum
    weight_decay: Weight
    warmup: Annotated[int, Field(ge=0)]
    milestones: Annotated[tuple[Iterations, ...], Field(strict=False)]
    gradient_clip: Weight
    channels_last: bool
    log_every: Iterations

    @model_validator(mode="after")
    def _numbers_fit(self) -> DetectorTraining:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size = {self.batch_size} must be a multiple of accumulate = {self.accumulate}"
            )
        if self.warmup >= self.iterations:
            raise ValueError(f"warmup = {self.warmup} must lie below iterations = {self.iterations}")
        if list(self.milestones) != sorted({one for one in self.milestones if one < self.iterations}):
            raise ValueError(
                f"milestones = {list(self.milestones)} must rise and lie below iterations = {self.iterations}"
            )
        return self


class Detector(Section):
    """Mask R-CNN C4 of a profile; sides in pixels.

    Training draws the shorter side of an image from `min_sizes`, evaluation takes the last.
    """

    min_sizes: Annotated[Several[Side], AfterValidator(_rising)]
    max_size: Side
    anchors: Annotated[Several[Side], AfterValidator(_rising)]
    proposals: Positive
    boxes: Positive
    training: DetectorTraining

    @model_validator(mode="after")
    def _longer_side_is_not_shorter(self) -> Detector:
        if self.max_size < self.min_sizes[-1]:
            raise ValueError(
                f"max_size = {self.max_size} must be at least the last of min_sizes, {self.min_sizes[-1]}"
            )
        return self


def _output(start: str) -> str:
    if not start.startswith(("weights/", "train/")):
        raise ValueError("must be weights/<backbone> or train/<row>")
    return start


class Transfer(Section):
    """A row of Table 3, by the output of the stage that it starts from: `weights/<backbone>` or `train/<row>`."""

    start: Annotated[str, AfterValidator(_output)]
    seeds: Several[Seed] | None = None

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
    size: Pair[Side]
    seed: Seed


class Grid(Section):
    """The values of K and L that the sweep pairs; where L > K there is no network."""

    K: Several[Tokens]
    L: Several[Tokens]

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
    threads: Annotated[int, Field(ge=1, le=256)]  # more than any machine has cores
    seeds: Several[Seed]
    backbones: dict[WiderName, Annotated[str, AfterValidator(_known_backbone)]]
    pretrained: bool
    families: Families  # type: ignore[valid-type]
    inference: Inference
    examples: Annotated[int, Field(ge=1, le=64)]  # rows of a figure
    sgr: SGRSettings
    glore: GloReSettings
    sweep: Grid
    overhead_repeats: Positive
    training: Training
    detection: Detector
    datasets: dict[Name, Training] = {}

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
    momentum: Momentum
    kappa: Rate
    iterations: Positive
    temperature: Rate
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

    dataset: Name
    family: Annotated[str, AfterValidator(_known_family)]
    backbone: WiderName
    unit: Literal["none", "glore", "sgr"] = "none"
    prototypes: bool = False
    instances: bool = False
    sgr: SGRSettings = SGRSettings()
    glore: GloReSettings = GloReSettings()
    training: Training = Training()
    seeds: Several[Seed] | None = None

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
    datasets: dict[Name, Dataset]
    profiles: dict[Name, Profile]
    rows: dict[Name, Row]
    transfer: dict[Name, Transfer]

    @model_validator(mode="after")
    def _datasets_have_their_splits(self) -> Params:
        for name, dataset in self.datasets.items():
            if name == self.detection.dataset:
                raise ValueError(f"datasets: {name} is that of Table 3, its splits stand in detection")
            _check_splits(name, dataset.train, *dataset.evaluate, dataset.semantics)
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


def _check_splits(dataset: str, *splits: str) -> None:
    """Raises ValueError for a dataset that nothing describes, or a split that it does not have."""
    if dataset not in datasets.names():
        raise ValueError(f"datasets.{dataset}: there is no sgr/datasets/{dataset}.py that describes it")
    for split in splits:
        if split not in (known := datasets.describe(dataset).splits):
            raise ValueError(f"{split!r} is none of the splits of {dataset}: {', '.join(known)}")


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
