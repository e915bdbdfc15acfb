"""A file of params/profiles: the scale of everything, each section with the checks of its own values."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model, model_validator

from sgr.models.families import FAMILIES, Positive
from sgr.models.recipes import RECIPES, Recipe
from sgr.plan.sections import GloReSettings, Inference, SGRSettings, Training
from sgr.plan.values import (
    Iterations,
    Momentum,
    Name,
    Pair,
    Rate,
    Section,
    Seed,
    Several,
    Side,
    Tokens,
    Weight,
    WiderName,
    rising,
)


def _known_backbone(name: str) -> str:
    if name not in RECIPES:
        raise ValueError(f"must be one of {', '.join(RECIPES)}")
    return name


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

    min_sizes: Annotated[Several[Side], AfterValidator(rising)]
    max_size: Side
    anchors: Annotated[Several[Side], AfterValidator(rising)]
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
    subset: dict[str, Positive] = Field(default_factory=dict)
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
    datasets: dict[Name, Training] = Field(default_factory=dict)

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
