"""What the stages that run no job compute with: plain data, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sgr.evaluation.settings import Seen
from sgr.models.settings import BackboneSettings, Published


@dataclass(frozen=True)
class GeneratedImages:
    """How many images are generated of each split, how large (height, width), and from which seed."""

    images: Mapping[str, int]
    size: tuple[int, int]
    seed: int


@dataclass(frozen=True)
class DownloadSettings:
    """A dataset, what is generated in its place, if anything, and how many images of each split of the real one.

    `subset` is None for the whole dataset.
    """

    dataset: str
    generated: GeneratedImages | None
    subset: Mapping[str, int] | None = None


@dataclass(frozen=True)
class ComponentSettings:
    """Connected components of a split's label maps; see `sgr.connected_components`."""

    dataset: str
    split: str
    opening: int
    min_share: float


@dataclass(frozen=True)
class StatisticsSettings:
    """Those components compared with instances; `L` concepts are active in an image."""

    components: ComponentSettings
    L: int


@dataclass(frozen=True)
class WeightsSettings:
    """A backbone of the profile, whether ImageNet's weights are wanted, and their published file, if there is one."""

    name: str
    backbone: BackboneSettings
    pretrained: bool
    weights: Published | None


@dataclass(frozen=True)
class Explained:
    """A row whose network has regions: its dataset, how it sees images, and the seed that is looked at."""

    dataset: str
    seen: Seen
    seed: int


@dataclass(frozen=True)
class ExplainSettings:
    """Every such row by name."""

    rows: Mapping[str, Explained]


@dataclass(frozen=True)
class PredictionsSettings:
    """The networks of a dataset whose predictions are drawn, by row, and the seed of each.

    `examples` is the row whose semantics kept the images.
    """

    rows: Mapping[str, Seen]
    seeds: Mapping[str, int]
    examples: str
