"""What the jobs that look at a trained network compute with, and where their files lie: plain data, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sgr.models.settings import NetworkSettings


@dataclass(frozen=True)
class Seen:
    """A trained network and the images it sees.

    Attributes:
        dataset: the module of `sgr.data` that reads them.
        network: as it was trained.
        resize: scale of the images that it was trained at.
        channels_last: how feature maps lie in memory, which changes bits.
        threads: of the CPU's kernels, which change bits.
    """

    dataset: str
    network: NetworkSettings
    resize: float
    channels_last: bool
    threads: int


@dataclass(frozen=True)
class Inference:
    """Multi-scale inference: `scales` are relative to the scale that the network was trained at."""

    scales: tuple[float, ...]
    flip: bool


@dataclass(frozen=True)
class EvaluateSettings:
    """The plan entry of a row's evaluation; `classes` are the names of the network's classes."""

    seen: Seen
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    inference: Inference


@dataclass(frozen=True)
class SemanticsSettings:
    """The plan entry of a row's semantics; `examples`: images whose regions are kept for Figure 4."""

    seen: Seen
    split: str
    examples: int


@dataclass(frozen=True)
class InstanceSemanticsSettings:
    """The plan entry of a row's semantics over the instances of another dataset, `seen.dataset`."""

    seen: Seen
    split: str


@dataclass(frozen=True)
class EvaluationFiles:
    """Where the inputs of an evaluation lie.

    Attributes:
        data, manifest: the dataset's folder, and the manifest that describes it.
        model: weights of the trained network.
        loader_workers: processes that load images.
        title: of the progress line.
    """

    data: Path
    manifest: Path
    model: Path
    loader_workers: int
    title: str
