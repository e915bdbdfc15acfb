"""What a row will cost before it runs: GPU-hours from the FLOPs of its network, and disk.

The network is built and run without memory for its tensors (torch's fake tensors) under torch's counter of FLOPs, so
neither a GPU nor the data nor the weights need be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sgr.datasets import Split
from sgr.evaluation.settings import EvaluateSettings, SemanticsSettings
from sgr.jobs.job import canonical
from sgr.models.backbone import Backbone
from sgr.models.network import build
from sgr.models.settings import BackboneSettings, NetworkSettings
from sgr.plan.entry import Entry
from sgr.training.settings import TrainSettings

Size = tuple[int, int]
P = ParamSpec("P")
Result = TypeVar("Result")
M = TypeVar("M", bound=nn.Module)

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

# What is evaluated, by dataset and split.
ImagesOf = Mapping[str, Mapping[str, Split]]


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
    """GPU-hours by kind of job, bytes that stay on disk, and bytes of a checkpoint while it trains."""

    hours: Mapping[str, float] = {}
    kept: float = 0.0
    checkpoint: float = 0.0

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]
        kinds = [*self.hours, *(kind for kind in other.hours if kind not in self.hours)]
        hours = {kind: self.hours.get(kind, 0.0) + other.hours.get(kind, 0.0) for kind in kinds}
        return Cost(hours, self.kept + other.kept, self.checkpoint + other.checkpoint)

    def __rmul__(self, seeds: int) -> Cost:  # type: ignore[override]
        hours = {kind: seeds * value for kind, value in self.hours.items()}
        return Cost(hours, seeds * self.kept, seeds * self.checkpoint)

    @property
    def total(self) -> float:
        """GPU-hours in all."""
        return sum(self.hours.values())


def estimate(row: Mapping[str, Entry[Any]], images_of: ImagesOf, tflops: float) -> Cost:
    """The cost of one seed of a row.

    Args:
        row: plan entries by stage: `train`, and those of its evaluations that are wanted.
        images_of: what is evaluated.
        tflops: that one GPU sustains in training, 10¹² FLOP/s.
    """
    train: TrainSettings = row["train"].settings
    image = next(iter(images_of[train.dataset].values())).size
    network = footprint(train.network, train.augmentation.crop, image)
    hour = 3600 * 1e12 * tflops
    steps = train.loop.batch_size * train.loop.iterations
    hours, examples = {"train": PASSES * network.training * steps / hour}, 0.0
    for kind, entry in row.items():
        settings = entry.settings
        if isinstance(settings, EvaluateSettings):
            views = settings.inference
            passes = [(1.0, 1), *((scale, 1 + views.flip) for scale in views.scales)]
        elif kind != "train":
            passes = [(1.0, 1)]
        else:
            continue
        seen = settings.seen
        splits = settings.splits if isinstance(settings, EvaluateSettings) else (settings.split,)
        for images, size in (images_of[seen.dataset][split] for split in splits):
            one = sum(count * network.forward(size, seen.resize * scale) for scale, count in passes)
            hours[kind] = hours.get(kind, 0.0) + images * one / hour / FP32_SHARE
            if isinstance(settings, SemanticsSettings):
                # image and label, and regions in half precision
                pixel = 4 + 2 * SHOWN / train.network.backbone.stride**2
                examples += settings.examples * size[0] * size[1] * pixel
    moments = MOMENTS[train.optimizer.optimizer]
    return Cost(hours, COPIES * (network.weights + examples), network.weights + moments * network.parameters)


def by_content(function: Callable[P, Result]) -> Callable[P, Result]:
    """Remember what a function of settings returns: `functools.cache` takes no dataclasses that hold dicts."""
    known: dict[str, Result] = {}

    @wraps(function)
    def remembered(*arguments: P.args, **named: P.kwargs) -> Result:
        key = canonical([arguments, named])
        if key not in known:
            known[key] = function(*arguments, **named)
        return known[key]

    return remembered


@by_content  # rows of an ablation share their network
def footprint(network: NetworkSettings, crop: Size, image: Size) -> Footprint:
    """The footprint of a network, counted at the size of the crop and of a typical image."""
    built = without_values(lambda: build(network))
    stride = built.backbone.stride
    image = (-(-image[0] // stride) * stride, -(-image[1] // stride) * stride)
    weights, learned = byte_counts(built)
    counted = []
    for size in (crop, image):
        trunk, shapes = _backbone(network.backbone, size)
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


@by_content  # most of the time goes into the backbones, and there are few of them
def _backbone(backbone: BackboneSettings, size: Size) -> tuple[int, list[torch.Size]]:
    trunk = without_values(lambda: Backbone(backbone))
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


def without_values(make: Callable[[], M]) -> M:
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


def assumptions(images_of: ImagesOf, tflops: float) -> list[str]:
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
            for dataset, splits in images_of.items()
        ),
        f"disk: weights and examples of regions, {COPIES} times (job store, DVC's cache, workspace); a checkpoint is "
        "weights and optimizer and goes when its training ends; datasets, components and logs are left out, and so is "
        "the one job that measures overhead",
    ]
