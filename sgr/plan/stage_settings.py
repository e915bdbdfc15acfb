"""What the stages that run no job compute with: plain data, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sgr.evaluation.settings import EvaluateSettings
from sgr.jobs.job import Code
from sgr.models.settings import BackboneSettings, Published
from sgr.report.labels import Network
from sgr.report.specification import Splits
from sgr.training.settings import TrainSettings


@dataclass(frozen=True)
class GeneratedImages:
    """How many images are generated of each split, how large (height, width), and from which seed."""

    images: Mapping[str, int]
    size: tuple[int, int]
    seed: int


@dataclass(frozen=True)
class DownloadSettings:
    """A dataset, and what is generated in its place; None for the real one."""

    dataset: str
    generated: GeneratedImages | None


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
class TableSettings:
    """A table, the rows of params/rows.yaml that stand in it, and the splits of their datasets."""

    table: str
    rows: Mapping[str, Network]
    datasets: Mapping[str, Splits]


@dataclass(frozen=True)
class FiguresSettings:
    """The figures of a dataset, and its rows."""

    dataset: str
    rows: Mapping[str, Network]


@dataclass(frozen=True)
class Pair:
    """What a row with these K and L is trained and evaluated by, as it would be with them in params.yaml."""

    K: int
    L: int
    train: TrainSettings
    evaluate: EvaluateSettings


@dataclass(frozen=True)
class SweepSettings:
    """A row with each pair of K and L (L at most K), its network, and the split it is measured on."""

    network: Network
    split: str
    K: tuple[int, ...]
    L: tuple[int, ...]
    pairs: tuple[Pair, ...]
    train_code: Code
    evaluate_code: Code
