"""How well the transfer network learns generated MS-COCO: `python -m bench.learn_detection` prints box and mask AP.

That is of images it has not seen, in minutes of one core; the tests have it learn a few images by heart.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import nn

import sgr
from sgr.data.coco import CATEGORY_IDS, Annotations, annotation_file
from sgr.detection.average_precision import average_precision
from sgr.detection.evaluate import detect
from sgr.detection.network import MaskRCNN
from sgr.detection.samples import EvaluationImages, TrainingImages, padded
from sgr.detection.settings import STRIDE
from sgr.detection.transfer import collate, steps
from sgr.generated.generate import generate
from sgr.models.backbone import Backbone
from sgr.models.recipes import RECIPES
from sgr.training.loop import Learner, Place, Samples, fit
from sgr.training.optimizer import build_optimizer
from sgr.training.settings import LoopSettings, OptimizerSettings, Run


def average_precision_after(
    root: Path, split: str, iterations: int, size: int, folder: Path
) -> dict[str, float | None]:
    """Box and mask AP on a split after iterations of four images of train2017, sized to a shorter side of `size`."""
    torch.manual_seed(0)
    annotations = Annotations(root, "train2017")
    seen = EvaluationImages(annotations, min_size=size, max_size=4 * size)
    network = with_statistics([seen[number]["image"] for number in range(min(8, len(seen)))])
    optimizer = build_optimizer(
        network,
        OptimizerSettings("adamw", learning_rate=0.002, head_multiplier=1.0, momentum=0.9, weight_decay=0.01),
    )
    schedule = steps(optimizer, [iterations * 3 // 4, iterations * 9 // 10], 10)
    samples = TrainingImages(
        annotations, length=4 * iterations, seed=0, min_sizes=[size], max_size=4 * size, flip=True
    )
    settings = LoopSettings(
        iterations=iterations,
        batch_size=4,
        accumulate=1,
        gradient_clip=10.0,
        precision="fp32",
        channels_last=False,
        compile=False,
        log_every=10,
    )
    learner = Learner(network, network.loss_weights, optimizer, schedule)
    run = Run("detection", loader_workers=0, checkpoint_seconds=1e9)
    fit(
        learner,
        Samples(samples, partial(collate, fill=network.backbone.mean_colour)),
        settings,
        Place(folder, 0, run),
    )
    network.eval()
    images = EvaluationImages(Annotations(root, split), min_size=size, max_size=4 * size)
    found = [
        one for number in range(len(images)) for one in detect(network, images[number], torch.device("cpu"))
    ]
    return average_precision(annotation_file(root, split), found)


def with_statistics(images: list[torch.Tensor]) -> MaskRCNN:
    """A tiny network with SGR and random weights, whose batch norm is frozen with the statistics of these images."""
    backbone = Backbone(RECIPES["tiny_resnet"].settings(STRIDE))
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            module.momentum = None  # the mean over all images
    with torch.no_grad():
        backbone.train()(padded(images, STRIDE, backbone.mean_colour))
    unit = sgr.SGR(backbone.channels[-1], K=16, D=32, heads=2)
    return MaskRCNN(
        backbone, unit, classes=len(CATEGORY_IDS), anchors=(16, 32, 64, 128), proposals=64, boxes=32
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    iterations = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    with tempfile.TemporaryDirectory() as name:
        generate("coco", Path(name) / "coco", {"train2017": 256, "val2017": 32}, (112, 144), seed=0)
        print(average_precision_after(Path(name) / "coco", "val2017", iterations, 224, Path(name)))
