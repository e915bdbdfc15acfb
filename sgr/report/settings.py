"""What the stages that draw tables and figures compute with: plain data, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sgr.evaluation.settings import EvaluateSettings
from sgr.jobs.job import Code
from sgr.training.settings import TrainSettings

from .labels import Network
from .specification import Splits


@dataclass(frozen=True)
class TableSettings:
    """A table, the rows of params/rows.yaml that stand in it, and the splits of their datasets."""

    table: str
    rows: Mapping[str, Network]
    datasets: Mapping[str, Splits]


@dataclass(frozen=True)
class ClaimsSettings:
    """All rows of params/rows.yaml, the splits of their datasets, and of which datasets the profile takes a part."""

    rows: Mapping[str, Network]
    datasets: Mapping[str, Splits]
    parts: tuple[str, ...] = ()


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
