"""params.yaml, typed: every key is checked before anything runs, an unknown one is refused.

Only `plan` reads this. What a job gets is the resolved, plain JSON that `plan` wrote.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from sgr.errors import UserError


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed stands there twice, but each is one job")
    return seeds


Positive = Annotated[int, Field(ge=1)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_distinct)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Size = tuple[Positive, Positive]


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
    """The component and its loss. `null` takes the profile's value; a row may set its own."""

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
    precision: Literal["fp32", "bf16"] | None = None
    channels_last: bool | None = None
    compile: bool | None = None
    log_every: Positive | None = None


class Images(Section):
    """Generated images of the training split, and of each other split."""

    train: Positive
    test: Positive


class Generated(Section):
    """Sizes of the generated datasets, in images and pixels."""

    images: Images
    size: Size
    seed: int


class Profile(Section):
    data: Literal["generated", "folder"]
    generated: Generated | None = None
    threads: Positive
    seeds: Seeds
    backbones: dict[str, str]
    pretrained: bool
    stride: Literal[8, 16, 32]
    head_width: Positive
    atrous_rates: tuple[Positive, Positive, Positive]
    examples: Positive
    sgr: SGRSettings
    glore: GloReSettings
    training: Training
    datasets: dict[str, Training] = {}

    @model_validator(mode="after")
    def _generated_has_sizes(self) -> Profile:
        if self.data == "generated" and self.generated is None:
            raise ValueError("data: generated needs a section 'generated' with images, size and seed")
        return self


class Row(Section):
    dataset: str
    family: Literal["fcn", "deeplabv3"]
    backbone: str
    component: Literal["none", "glore", "sgr"] = "none"
    sgr: SGRSettings = SGRSettings()
    glore: GloReSettings = GloReSettings()
    training: Training = Training()
    seeds: Seeds | None = None


class Params(Section):
    profile: str
    sgr: SGRSettings
    glore: GloReSettings
    components: ComponentExtraction
    augmentation: Augmentation
    inference: Inference
    datasets: dict[str, Dataset]
    profiles: dict[str, Profile]
    rows: dict[str, Row]

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        if self.profile not in self.profiles:
            raise ValueError(f"profile {self.profile!r} is none of {', '.join(self.profiles)}")
        for name, row in self.rows.items():
            if row.dataset not in self.datasets:
                raise ValueError(f"row {name}: dataset {row.dataset!r} is none of {', '.join(self.datasets)}")
        for profile_name, profile in self.profiles.items():
            for name in set(profile.datasets) - set(self.datasets):
                raise ValueError(
                    f"profiles.{profile_name}.datasets: {name!r} is none of {', '.join(self.datasets)}"
                )
        return self

    @property
    def chosen(self) -> Profile:
        return self.profiles[self.profile]


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: naming the first key that is wrong and what would be right.
    """
    try:
        content = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run in the project's folder") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        # a whole section is too long to repeat
        told = first["type"] == "missing" or isinstance(first["input"], dict)
        got = "" if told or not key else f", not {first['input']!r}"
        raise UserError(f"{path.name}: {key + ': ' if key else ''}{what}{got}") from None
