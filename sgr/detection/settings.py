"""What the jobs of Table 3 compute with, and where a transfer's files lie: plain data, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sgr.models.settings import BackboneSettings, Part
from sgr.training.settings import LoopSettings, OptimizerSettings, Run

STRIDE = 32  # pixels a cell of the last map of a whole image


@dataclass(frozen=True)
class DetectorSettings:
    """Arguments of `sgr.detection.network.build`; see `MaskRCNN`."""

    backbone: BackboneSettings
    unit: Part | None
    classes: int
    anchors: tuple[int, ...]
    proposals: int
    boxes: int


@dataclass(frozen=True)
class TransferSettings:
    """The plan entry of a fine-tuning on MS-COCO.

    Attributes:
        split: that it learns from.
        network: whose backbone and unit start from a segmentation network, from ImageNet's weights or from random ones.
        min_sizes: the shorter side of an image in pixels is drawn from these; max_size: of the longer one.
        flip: mirror every second image.
        milestones: iterations at which the rate is divided by 10; warmup: over which it rises.
        threads: of the CPU's kernels, which change bits.
    """

    split: str
    network: DetectorSettings
    min_sizes: tuple[int, ...]
    max_size: int
    flip: bool
    loop: LoopSettings
    optimizer: OptimizerSettings
    milestones: tuple[int, ...]
    warmup: int
    threads: int


@dataclass(frozen=True)
class TransferFiles:
    """Where the inputs of a fine-tuning lie.

    Attributes:
        data, manifest: MS-COCO's folder, and the manifest that describes it.
        weights: of a backbone, that the network starts from; model: of a segmentation network. None for random weights.
        run: how the training is run.
    """

    data: Path
    manifest: Path
    weights: Path | None
    model: Path | None
    run: Run


@dataclass(frozen=True)
class DetectSettings:
    """The plan entry of the evaluation of a fine-tuned network.

    Attributes:
        split: that is evaluated.
        min_size, max_size: of the shorter and longer side of an image, in pixels.
        channels_last: how feature maps lie in memory, which changes bits.
    """

    split: str
    network: DetectorSettings
    min_size: int
    max_size: int
    channels_last: bool
    threads: int
