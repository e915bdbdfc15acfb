"""The sections of params.yaml and params/rows.yaml, each with the checks of its own values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from sgr import datasets
from sgr.models.families import FAMILIES, Positive
from sgr.plan.values import (
    Iterations,
    Momentum,
    Name,
    Pair,
    Rate,
    Scale,
    Section,
    Seed,
    Several,
    Share,
    Side,
    Tokens,
    Weight,
    WiderName,
    rising,
)


def _known_family(name: str) -> str:
    if name not in FAMILIES:
        raise ValueError(f"must be one of {', '.join(FAMILIES)}")
    return name


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
    scale: Annotated[Pair[Scale], AfterValidator(rising)]
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


class Detection(Section):
    """Table 3: its dataset, and the splits that it trains and evaluates on."""

    dataset: Literal["coco"]
    train: str
    evaluate: str

    @model_validator(mode="after")
    def _splits_exist(self) -> Detection:
        check_splits(self.dataset, self.train, self.evaluate)
        if self.train == self.evaluate:
            raise ValueError(f"{self.train!r}, the split that is trained on, is evaluated too")
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


def check_splits(dataset: str, *splits: str) -> None:
    """Raises ValueError for a dataset that nothing describes, or a split that it does not have."""
    if dataset not in datasets.names():
        raise ValueError(f"datasets.{dataset}: there is no sgr/datasets/{dataset}.py that describes it")
    for split in splits:
        if split not in (known := datasets.describe(dataset).splits):
            raise ValueError(f"{split!r} is none of the splits of {dataset}: {', '.join(known)}")
