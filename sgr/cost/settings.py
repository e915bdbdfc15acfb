"""What the job that measures overhead computes with: plain data, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sgr.models.settings import NetworkSettings, Part


@dataclass(frozen=True)
class Candidate:
    """A network to measure: its family and backbone by name, and what it has beyond the plain one.

    Attributes:
        unit: `sgr`, `glore`, `protoseg` or nothing.
        concept_loss: makes `sgr.ConceptLoss`; None where tokens are not supervised.
    """

    name: str
    family: str
    backbone: str
    unit: str
    network: NetworkSettings
    concept_loss: Part | None


@dataclass(frozen=True)
class OverheadSettings:
    """The plan entry of the overhead.

    Attributes:
        networks: those of one family and backbone beside each other.
        dataset: whose number of classes they predict.
        crop: height and width of the images, in pixels.
        batch_size: images of a training step.
        repeats: timings of each network, of which the median counts.
    """

    networks: tuple[Candidate, ...]
    dataset: str
    crop: tuple[int, int]
    batch_size: int
    repeats: int
    threads: int
    channels_last: bool
    precision: Literal["fp32", "bf16"]
