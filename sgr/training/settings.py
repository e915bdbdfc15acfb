"""What a training job computes with, and where its files lie: plain data, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sgr.models.settings import NetworkSettings, Part


@dataclass(frozen=True)
class LoopSettings:
    """What the training loop reads.

    Attributes:
        batch_size: images of an iteration, over all ranks; `accumulate` parts one after the other, gradients averaged.
        gradient_clip: largest norm of the gradient of all parameters together, 0 for no limit.
        precision: bf16 by autocast.
        log_every: iterations of a row of the loss curve.
    """

    iterations: int
    batch_size: int
    accumulate: int
    gradient_clip: float
    precision: Literal["fp32", "bf16"]
    channels_last: bool
    compile: bool
    log_every: int


@dataclass(frozen=True)
class OptimizerSettings:
    """`head_multiplier`: of the rate outside the backbone; `momentum`: of SGD alone."""

    optimizer: Literal["sgd", "adamw"]
    learning_rate: float
    head_multiplier: float
    momentum: float
    weight_decay: float


@dataclass(frozen=True)
class Augmentation:
    """See `sgr.data.augment.training_crop`; `scale` is of the image as it lies on disk."""

    crop: tuple[int, int]
    scale: tuple[float, float]
    flip: bool
    jitter: float


@dataclass(frozen=True)
class TrainSettings:
    """The plan entry of a row's training.

    Attributes:
        dataset, split: that it learns from; the module of `sgr.data` that reads it.
        network: with random weights, or ImageNet's in its backbone where `pretrained`.
        concept_loss: makes `sgr.ConceptLoss`; None where tokens are not supervised.
        beta: weight of the concept loss, Eq. 7.
        loop, optimizer, augmentation: as they say.
        power, warmup: of the polynomial schedule.
        threads: of the CPU's kernels, which change bits.
    """

    dataset: str
    split: str
    network: NetworkSettings
    pretrained: bool
    concept_loss: Part | None
    beta: float
    loop: LoopSettings
    optimizer: OptimizerSettings
    power: float
    warmup: int
    augmentation: Augmentation
    threads: int


@dataclass(frozen=True)
class Run:
    """How a training is run, none of which changes its result.

    Attributes:
        title: of the progress line.
        loader_workers: processes that load samples.
        checkpoint_seconds: between two checkpoints.
        stop_after: end after this iteration, with the fingerprint alone; None for the whole training.
    """

    title: str
    loader_workers: int
    checkpoint_seconds: float
    stop_after: int | None = None


@dataclass(frozen=True)
class TrainFiles:
    """Where the inputs of a training lie.

    Attributes:
        data, manifest: the dataset's folder, and the manifest that describes it.
        components: the archive of connected components; None without a concept loss.
        weights: the backbone's; None for random ones.
        run: how the training is run.
    """

    data: Path
    manifest: Path
    components: Path | None
    weights: Path | None
    run: Run
