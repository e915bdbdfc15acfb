"""The estimate of what a row costs agrees with counting on real tensors, and with hours worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sgr.cost import detection
from sgr.cost.overhead import Subject, random_batch
from sgr.cost.segmentation import COPIES, estimate, footprint
from sgr.datasets import Split
from sgr.detection.network import build as build_detector
from sgr.jobs.job import Code
from sgr.models.network import build, parameter_count
from sgr.models.settings import NetworkSettings, Part
from sgr.plan.entry import Entry
from sgr.training.optimizer import build_optimizer
from tests import tiny_row, tiny_transfer

CROP, IMAGE = (64, 96), (96, 128)


def entry(settings: Any, dataset: str = "camvid") -> Entry[Any]:
    return Entry(settings, Code(), dataset=dataset)


def with_width(network: NetworkSettings, width: int) -> NetworkSettings:
    return replace(
        network, head=Part(network.head.made_by, network.head.arguments | {"width": width}), classes=11
    )


@pytest.mark.parametrize("row", ["camvid-fcn-sgr", "cityscapes-mask2former", "cityscapes-segformer"])
def test_flops_are_those_of_real_tensors(row: str) -> None:
    network = with_width(tiny_row.training(row).network, 32)
    found = footprint(network, CROP, IMAGE)
    real, cpu = build(network), torch.device("cpu")
    with_scores = Subject(real, random_batch(11, 1, IMAGE, cpu), "fp32", False).flops()
    assert found.forward(IMAGE, 1.0) == pytest.approx(with_scores, rel=1e-6)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        real(random_batch(11, 1, CROP, cpu)["image"])
    assert found.training == counter.get_total_flops()


def test_step_is_three_forward_passes() -> None:
    network = tiny_row.training().network
    found, real = footprint(network, CROP, IMAGE), build(network).train()
    batch = random_batch(11, 2, CROP, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        output = real(batch["image"])
        torch.stack(list(real.losses(output, batch["label"], batch["components"]).values())).sum().backward()
    assert counter.get_total_flops() == pytest.approx(3 * 2 * found.training, rel=0.1)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_bytes_are_those_of_weights_and_optimizer(optimizer: str) -> None:
    training = tiny_row.training(optimizer={"optimizer": optimizer})
    cost = estimate({"train": entry(training)}, {"camvid": {"val": Split(2, IMAGE)}}, 1.0)
    real = build(training.network)
    weights = sum(tensor.nbytes for tensor in real.state_dict().values())
    assert cost.kept == COPIES * weights and cost.hours.keys() == {"train"}

    stepped = build_optimizer(real, training.optimizer)
    for parameter in real.parameters():
        parameter.grad = torch.zeros_like(parameter)
    stepped.step()
    moments = [
        value for state in stepped.state.values() for value in state.values() if torch.is_tensor(value)
    ]
    assert cost.checkpoint == weights + sum(tensor.nbytes for tensor in moments if tensor.dim())
    assert parameter_count(real) * 4 <= weights


def test_hours_by_hand() -> None:
    training, seen = tiny_row.training(loop={"iterations": 50}), tiny_row.semantics()
    of_instances = replace(
        tiny_row.entries()["instance_semantics/cocostuff10k-fcn-sgr"].settings,
        seen=replace(seen.seen, dataset="coco"),
    )
    row = {
        "train": entry(training),
        "evaluate": entry(tiny_row.evaluation()),
        "semantics": entry(seen),
        "instance_semantics": entry(of_instances),
    }
    images = {
        "camvid": {"val": Split(2, IMAGE), "test": Split(3, IMAGE)},
        "coco": {"val2017": Split(7, (64, 96))},
    }
    cost = estimate(row, images, tflops=2.0)
    found = footprint(training.network, (32, 40), IMAGE)
    assert cost.hours["train"] * 3600 * 2e12 == pytest.approx(50 * 4 * 3 * found.training)
    single = found.forward(IMAGE, 1.0)
    multi = sum(2 * found.forward(IMAGE, scale) for scale in (0.5, 1.0, 1.25))
    assert cost.hours["evaluate"] * 3600 * 1e12 == pytest.approx(5 * (single + multi))
    assert cost.hours["semantics"] * 3600 * 1e12 == pytest.approx(2 * single)
    assert cost.hours["instance_semantics"] * 3600 * 1e12 == pytest.approx(7 * found.forward((64, 96), 1.0))
    assert (cost + cost).total == (2 * cost).total == pytest.approx(2 * sum(cost.hours.values()))


@pytest.mark.parametrize("row", ["coco-imagenet", "coco-sgr"])
def test_detection_is_that_of_real_tensors(row: str) -> None:
    network, (H, W) = tiny_transfer.transfer(row).network, (64, 96)
    found = detection.footprint(network, (H - 7, W))
    real = build_detector(network).train()
    # so that neither overlap nor a low score leaves fewer regions than the most there can be
    real.proposals.nms_thresh, real.heads.score_thresh, real.heads.nms_thresh = 1.0, 0.0, 1.0
    images = torch.rand(1, 3, H, W) * 255
    boxes = torch.tensor([[4.0, 4.0, 30.0, 40.0], [40.0, 10.0, 90.0, 60.0]])
    target = {
        "boxes": boxes,
        "labels": torch.tensor([1, 2]),
        "masks": torch.ones(2, H, W, dtype=torch.uint8),
    }
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        losses = real.losses(real(images), [target])
        assert counter.get_total_flops() == pytest.approx(found.training, rel=1e-6)
        torch.stack(list(losses.values())).sum().backward()
    assert counter.get_total_flops() == pytest.approx(3 * found.training, rel=0.1)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        assert len(real.eval().detections(real(images), [(H, W)])[0]["boxes"]) == 100
    assert counter.get_total_flops() == pytest.approx(found.evaluation, rel=1e-6)
    assert found.weights == sum(tensor.nbytes for tensor in real.state_dict().values())


def test_detection_hours_by_hand() -> None:
    settings = tiny_transfer.transfer("coco-sgr")
    detected = entry(tiny_transfer.detection("coco-sgr"), "coco")
    row = {"transfer": entry(settings, "coco"), "detect": detected}
    cost = detection.estimate(row, {"coco": {"val2017": Split(6, (48, 64))}}, tflops=2.0)
    # 56 or 64 pixels high, 64 in evaluation
    trained = detection.footprint(settings.network, (60, 80))
    whole = detection.footprint(settings.network, (64, 85))
    assert cost.hours["transfer"] * 3600 * 1e12 == pytest.approx(5 * 2 * 3 * trained.training)
    assert cost.hours["detect"] * 3600 * 1e12 == pytest.approx(6 * whole.evaluation)
    assert cost.total == pytest.approx(cost.hours["transfer"] + cost.hours["detect"])
    assert cost.checkpoint == trained.weights + trained.parameters and cost.kept == COPIES * trained.weights
