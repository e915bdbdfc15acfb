"""What a row will cost before it runs: GPU-hours from the FLOPs of its network, and disk.

The network is built and run without memory for its tensors (torch's fake tensors) under torch's counter of FLOPs, so
neither a GPU nor the data nor the weights need be there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sgr import data
from sgr.models import build
from sgr.models.backbone import Backbone
from sgr.models.network import Network

Entry = dict[str, Any]
Size = tuple[int, int]

KINDS = ("train", "evaluate", "semantics", "instance_semantics", "transfer", "detect")

# Sustained by one GPU, not its peak: about a tenth of what an A100 can do in bf16, as dilated convolutions get there.
TFLOPS = 30.0
# Evaluation and Table 3 do not run in bf16.
FP32_SHARE = 0.5
# Forward, and twice that backward: with respect to the input and to the weights of each layer.
PASSES = 3
# The job store, DVC's cache and the workspace each hold what a job wrote.
COPIES = 3
# What SGD with momentum and AdamW keep of each parameter.
MOMENTS = {"sgd": 1, "adamw": 2}
# Regions kept of each example, see sgr.evaluation.semantics.
SHOWN = 6


class Split(NamedTuple):
    """Images of a split and the size (H, W) that is typical of them."""

    images: int
    size: Size


ImagesOf = Mapping[str, Mapping[str, Split]]

# The datasets as their owners publish them.
PUBLISHED = {
    "cityscapes": {"val": Split(500, (1024, 2048))},
    "ade20k": {"val": Split(2000, (512, 683))},
    "cocostuff10k": {"test": Split(1000, (480, 640))},
    "camvid": {"val": Split(101, (360, 480)), "test": Split(233, (360, 480))},
    "coco": {"val2017": Split(5000, (480, 640))},
}


class Footprint(NamedTuple):
    """A network's forward pass and its weights.

    linear, quadratic: FLOPs of a forward pass to class scores over A pixels are linear A + quadratic A². Only global
        attention has the second.
    training: FLOPs of one training crop, forward.
    weights: bytes of the file of weights.
    parameters: bytes of what the optimizer learns.
    """

    linear: float
    quadratic: float
    training: float
    weights: int
    parameters: int

    def forward(self, size: Size, scale: float) -> float:
        """FLOPs of one image of a size at a scale."""
        area = size[0] * size[1] * scale**2
        return self.linear * area + self.quadratic * area**2


class Cost(NamedTuple):
    """GPU-hours of each kind of job, bytes that stay on disk, and bytes of a checkpoint while it trains."""

    train: float = 0.0
    evaluate: float = 0.0
    semantics: float = 0.0
    instance_semantics: float = 0.0
    transfer: float = 0.0
    detect: float = 0.0
    kept: float = 0.0
    checkpoint: float = 0.0

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]
        return Cost(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def hours(self) -> float:
        """GPU-hours in all."""
        return sum(getattr(self, kind) for kind in KINDS)


def estimate(row: Mapping[str, Entry], images_of: ImagesOf, tflops: float) -> Cost:
    """The cost of one seed of a row.

    Args:
        row: plan entries by stage: `train`, and those of its evaluations that are wanted.
        images_of: what is evaluated, by dataset and split.
        tflops: that one GPU sustains in training, 10¹² FLOP/s.
    """
    train = row["train"]
    splits = images_of[train["dataset"]]
    training, image = train["training"], next(iter(splits.values())).size
    network = footprint(train["network"], train["dataset"], tuple(training["crop"]), image)
    hour = 3600 * 1e12 * tflops
    evaluated, examples = 0.0, 0.0
    looked_at = {"semantics": 0.0, "instance_semantics": 0.0}
    if plan := row.get("evaluate"):
        views = plan["inference"]
        passes = [(1.0, 1), *((scale, 1 + views["flip"]) for scale in views["scales"])]
        for name in plan["splits"]:
            images, size = splits[name]
            one = sum(count * network.forward(size, plan["resize"] * scale) for scale, count in passes)
            evaluated += images * one
    for kind in row.keys() & looked_at.keys():
        plan = row[kind]
        images, size = images_of[plan["dataset"]][plan["split"]]
        looked_at[kind] = images * network.forward(size, plan["resize"])
        # image and label, and regions in half precision
        pixel = 4 + 2 * SHOWN / train["network"]["stride"] ** 2
        examples += plan.get("examples", 0) * size[0] * size[1] * pixel
    return Cost(
        train=PASSES * network.training * training["batch_size"] * training["iterations"] / hour,
        evaluate=evaluated / hour / FP32_SHARE,
        **{kind: flops / hour / FP32_SHARE for kind, flops in looked_at.items()},
        kept=COPIES * (network.weights + examples),
        checkpoint=network.weights + MOMENTS[training["optimizer"]] * network.parameters,
    )


def footprint(network: Entry, dataset: str, crop: Size, image: Size) -> Footprint:
    """The footprint of the network of a plan entry, counted at the size of the crop and of a typical image."""
    return _footprint(json.dumps(network, sort_keys=True), dataset, crop, image)


@cache  # rows of an ablation share their network
def _footprint(network: str, dataset: str, crop: Size, image: Size) -> Footprint:
    arguments = json.loads(network)
    built = without_values(lambda: build(**arguments, classes=len(data.dataset(dataset).CLASSES)))
    assert isinstance(built, Network)
    stride = built.backbone.stride
    image = (-(-image[0] // stride) * stride, -(-image[1] // stride) * stride)
    weights, learned = byte_counts(built)
    counted = []
    for size in (crop, image):
        trunk, shapes = _backbone(arguments["backbone"], arguments["stride"], size)
        built.backbone = cast(Backbone, Maps(shapes))
        with counting() as counter:
            output = built(torch.empty(1, 3, *size))
            without_scores = trunk + counter.get_total_flops()
            built.scores(output, size)
        counted.append((size[0] * size[1], without_scores, trunk + counter.get_total_flops()))
    (small, training, less), (large, _, more) = counted
    # less than nothing only if padding outweighs it
    quadratic = max(0.0, (more / large - less / small) / (large - small)) if large != small else 0.0
    return Footprint(more / large - quadratic * large, quadratic, training, weights, learned)


@cache  # most of the time goes into the backbones, and there are few of them
def _backbone(name: str, stride: int, size: Size) -> tuple[int, list[torch.Size]]:
    trunk = without_values(lambda: Backbone(name, stride))
    with counting() as counter:
        shapes = [found.shape for found in trunk(torch.empty(1, 3, *size))]
        return counter.get_total_flops(), shapes


class Maps(nn.Module):
    """Feature maps without values in a backbone's place."""

    def __init__(self, shapes: list[torch.Size]) -> None:
        super().__init__()
        self.shapes = shapes

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps of the shapes."""
        return [torch.empty(shape) for shape in self.shapes]


def byte_counts(network: nn.Module) -> tuple[int, int]:
    """Bytes of the file of weights, and of what the optimizer learns."""
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    weights, parameters = (
        sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        for tensors in (network.state_dict().values(), learned)
    )
    return weights, parameters


def without_values(make: Callable[[], nn.Module]) -> nn.Module:
    """A module in evaluation mode whose parameters were never drawn."""
    # not made of fake tensors: torch's transformer copies its layers, and a copied fake tensor crashes
    with torch.device("meta"):
        made = make().eval()
    return made.to_empty(device="cpu")


@contextmanager
def counting() -> Iterator[FlopCounterMode]:
    """Count the FLOPs of what runs inside, and compute nothing; a multiply-add is two."""
    # the counter does not know all fused operations, see sgr.cost.overhead
    written_out, valueless = sdpa_kernel(SDPBackend.MATH), FakeTensorMode(allow_non_fake_inputs=True)
    with torch.enable_grad(), written_out, valueless, FlopCounterMode(display=False) as counter:
        yield counter


def assumptions(tflops: float) -> list[str]:
    """What the estimate rests on, a sentence each."""
    return [
        f"a GPU sustains {tflops:g} TFLOP/s in training and {FP32_SHARE:g} of that in evaluation and in all of "
        "Table 3, and no time is lost to loading, waiting or several GPUs",
        f"a training step is {PASSES} forward passes of its batch (forward, and backward to inputs and to weights), "
        "counted at the size of the crop; losses and the optimizer are left out",
        "evaluation is one pass at single scale and one a scale of `inference.scales`, two with its mirror image; "
        "FLOPs grow with the pixels, those of global attention with their square; semantics are one pass",
        "images: "
        + ", ".join(
            f"{dataset} {' + '.join(str(split.images) for split in splits.values())} of "
            f"{'×'.join(map(str, next(iter(splits.values())).size))}"
            for dataset, splits in PUBLISHED.items()
        )
        + ", or as many as are generated",
        f"disk: weights and examples of regions, {COPIES} times (job store, DVC's cache, workspace); a checkpoint is "
        "weights and optimizer and goes when its training ends; datasets, components and logs are left out, and so is "
        "the one job that measures overhead",
    ]
