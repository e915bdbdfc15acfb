"""ProtoSeg's head: its losses and its prototypes against loops over cells in float64."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgr.data.files import IGNORE
from sgr.models.heads import prototypes as module
from sgr.models.heads.pixels import OfLastMap, PixelPrediction, pixel_head
from sgr.models.heads.prototypes import PrototypeHead, moved
from sgr.models.network import Network, weighted_sum
from sgr.training import checkpoint
from sgr.training.loop import Learner
from sgr.training.optimizer import build_optimizer, polynomial
from sgr.training.settings import OptimizerSettings
from tests.networks import backbone_of
from tests.overfit import CLASSES, by_heart, miou
from tests.test_sinkhorn import by_scaling

SETTINGS = {
    "prototypes": 3,
    "momentum": 0.9,
    "kappa": 0.05,
    "iterations": 3,
    "temperature": 0.1,
    "contrast": 0.02,
    "distance": 0.03,
}
C, K, D = 5, 3, 8


def part(settings: dict[str, Any]) -> dict[str, Any]:
    """The prototypes among the arguments of a head, as its plan entry holds them."""
    return {"made_by": "sgr.models.heads.prototypes:PrototypeHead", "arguments": settings}


def head_of(auxiliary: bool = False, **settings: Any) -> PrototypeHead:
    """A head on the last map of 6 channels, in float64."""
    torch.manual_seed(0)
    built = pixel_head(
        OfLastMap(nn.Conv2d(6, D, 1)),
        D,
        C,
        auxiliary=OfLastMap(nn.Conv2d(6, C, 1)) if auxiliary else None,
        prototypes=part(SETTINGS | settings),
    )
    assert isinstance(built, PrototypeHead)
    return built.double()


def features(B: int = 2, size: tuple[int, int] = (4, 5)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(B, 6, *size, generator=generator, dtype=torch.float64)]


def cells_and_labels(factor: int, classes: int = C) -> tuple[Tensor, Tensor]:
    """Labels of 2 x 4 x 5 cells, some void, and of their pixels: under the centre the cell's, elsewhere others."""
    generator = torch.Generator().manual_seed(2)
    cells = torch.randint(0, classes, (2, 4, 5), generator=generator)
    cells[torch.rand(cells.shape, generator=generator) < 0.2] = IGNORE
    labels = torch.randint(0, C, (2, 4 * factor, 5 * factor), generator=generator)
    labels[:, factor // 2 :: factor, factor // 2 :: factor] = cells
    return cells, labels.to(torch.uint8)


def slowly(
    head: PrototypeHead, prediction: PixelPrediction, cells: Tensor
) -> tuple[float, float, np.ndarray]:
    """Contrast, distance and the prototypes after the step, cell by cell."""
    assert prediction.embeddings is not None
    prototypes = head.prototypes.numpy().copy()
    units = prediction.embeddings.detach().permute(0, 2, 3, 1).numpy()
    predicted = prediction.logits.detach().numpy().argmax(1)
    contrast, distance, assigned = [], [], {}
    for c in range(C):
        places = [tuple(place) for place in np.argwhere(cells.numpy() == c)]
        if not places:
            continue
        similarity = np.array(
            [[float(units[place] @ prototypes[c, k]) for k in range(K)] for place in places]
        )
        shares = by_scaling(similarity, head.kappa, head.iterations)
        for place, share in zip(places, shares, strict=True):
            k = int(share.argmax())
            positive = np.exp(units[place] @ prototypes[c, k] / head.temperature)
            negatives = sum(
                np.exp(units[place] @ prototypes[d, m] / head.temperature)
                for d in range(C)
                for m in range(K)
                if (d, m) != (c, k)
            )
            contrast.append(-np.log(positive / (positive + negatives)))
            distance.append((1 - units[place] @ prototypes[c, k]) ** 2)
            if predicted[place] == c:
                assigned.setdefault((c, k), []).append(units[place])
    for slot, members in assigned.items():
        mean = np.mean(members, axis=0)
        step = head.momentum * prototypes[slot] + (1 - head.momentum) * mean / np.linalg.norm(mean)
        prototypes[slot] = step / np.linalg.norm(step)
    return float(np.mean(contrast)), float(np.mean(distance)), prototypes


# Losses


@pytest.mark.parametrize("factor", [1, 4, 5])
@pytest.mark.parametrize("chunk", [16384, 7])
def test_losses_and_moved_prototypes_are_those_of_the_slow_formulas(factor, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    head = head_of()
    cells, labels = cells_and_labels(factor)
    prediction = head(features())
    contrast, distance, prototypes = slowly(head, prediction, cells)
    before = head.prototypes.clone()
    named = head.losses(prediction, labels)
    assert named["contrast"].item() == pytest.approx(contrast, rel=1e-9)
    assert named["distance"].item() == pytest.approx(distance, rel=1e-9)
    np.testing.assert_allclose(head.prototypes.numpy(), prototypes, rtol=0, atol=1e-12)
    assert not torch.equal(head.prototypes, before)


def test_segmentation_and_auxiliary_are_the_cross_entropy_of_upsampled_logits():
    head = head_of(auxiliary=True)
    _, labels = cells_and_labels(4)
    prediction = head(features())
    named = head.losses(prediction, labels)
    assert list(named) == list(head.loss_weights) == ["segmentation", "auxiliary", "contrast", "distance"]
    assert head.loss_weights == {"segmentation": 1.0, "auxiliary": 0.4, "contrast": 0.02, "distance": 0.03}
    assert prediction.auxiliary is not None
    for name, logits in (("segmentation", prediction.logits), ("auxiliary", prediction.auxiliary)):
        large = F.interpolate(logits.float(), (16, 20), mode="bilinear")
        expected = F.cross_entropy(large, labels.long(), ignore_index=IGNORE)
        torch.testing.assert_close(named[name], expected)


def test_the_score_of_a_class_is_the_cosine_of_its_nearest_prototype():
    head = head_of()
    logits, _, embeddings = head(features())
    assert embeddings is not None and embeddings.shape == (2, D, 4, 5) and logits.shape == (2, C, 4, 5)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2, 4, 5, dtype=torch.float64))
    prototypes = head.prototypes[None, :, :, :, None, None]
    cosine = F.cosine_similarity(embeddings[:, None, None], prototypes, dim=3)  # (2, C, K, 4, 5)
    best = cosine.amax(2)
    deviation = best.std(1, correction=0, keepdim=True)
    expected = (best - best.mean(1, keepdim=True)) / (deviation.square() + 1e-5).sqrt()
    torch.testing.assert_close(logits, expected)
    assert torch.equal(logits.argmax(1), cosine.flatten(1, 2).argmax(1) // K)


@pytest.mark.parametrize("name", ["contrast", "distance"])
def test_gradient_of_the_losses(name):
    head = head_of().eval()
    cells, labels = cells_and_labels(1)
    prediction = head(features())

    def loss(embeddings: Tensor) -> Tensor:
        return head.losses(prediction._replace(embeddings=embeddings), labels)[name]

    embeddings = prediction.embeddings.detach().requires_grad_()
    assert torch.autograd.gradcheck(loss, embeddings)
    (gradient,) = torch.autograd.grad(loss(embeddings), embeddings)
    assert torch.equal(gradient.any(1), cells != IGNORE)


def test_gradient_of_the_whole_head():
    head = head_of().eval()
    head.class_norm.weight.data.uniform_(0.5, 2)

    def logits(x: Tensor) -> Tensor:
        return head([x]).logits

    assert torch.autograd.gradcheck(logits, features(1, (2, 3))[0].requires_grad_())


@pytest.mark.parametrize("training", [True, False])
def test_nothing_labelled_gives_zero_with_a_gradient_and_moves_nothing(training):
    head = head_of(auxiliary=True).train(training)
    before = head.prototypes.clone()
    named = head.losses(head(features()), torch.full((2, 16, 20), IGNORE))
    assert all(value.item() == 0 for value in named.values())
    weighted_sum(named, head.loss_weights).backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())
    assert torch.equal(head.prototypes, before)


def test_void_pixels_never_count():
    """What stands in void cells changes neither the losses of clustering nor where prototypes move."""
    cells, labels = cells_and_labels(1)
    results = []
    for noise in (0, 1):
        head = head_of()
        prediction = head(features())
        other = F.normalize(torch.randn(2, D, 4, 5, dtype=torch.float64), dim=1)
        void = (cells == IGNORE)[:, None]
        embeddings = prediction.embeddings.where(~void | (noise == 0), other)
        logits = prediction.logits.where(~void | (noise == 0), -prediction.logits)
        named = head.losses(PixelPrediction(logits, None, embeddings), labels)
        results.append((named["contrast"], named["distance"], head.prototypes))
    assert (cells == IGNORE).any()
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-14, atol=1e-14)


def test_gradients_reach_every_parameter():
    head = head_of(auxiliary=True)
    _, labels = cells_and_labels(4)
    weighted_sum(head.losses(head(features()), labels), head.loss_weights).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())
    assert "prototypes" not in dict(head.named_parameters())
    assert "prototypes" in head.state_dict()


# Prototypes


def test_prototypes_start_and_stay_on_the_sphere():
    head = head_of(momentum=0.5)
    _, labels = cells_and_labels(4)
    ones = torch.ones(C, K, dtype=torch.float64)
    # the start is drawn in float32
    torch.testing.assert_close(head.prototypes.norm(dim=2), ones, rtol=0, atol=1e-6)
    start = head.prototypes
    for _ in range(5):
        head.losses(head(features()), labels)
    changed = (head.prototypes != start).any(2)
    assert changed.any()
    torch.testing.assert_close(head.prototypes.norm(dim=2)[changed], ones[changed])


def test_a_class_that_is_absent_keeps_its_prototypes():
    head = head_of()
    _, labels = cells_and_labels(1, classes=3)
    before = head.prototypes.clone()
    prediction = head(features())
    right = F.one_hot(labels.long().clamp_max(C - 1), C).permute(0, 3, 1, 2).double()
    head.losses(prediction._replace(logits=right), labels)
    assert torch.equal(head.prototypes[3:], before[3:])
    assert (head.prototypes[:3] != before[:3]).any(2).all()


def test_wrongly_classified_cells_move_nothing():
    head = head_of()
    _, labels = cells_and_labels(1)
    before = head.prototypes.clone()
    wrong = F.one_hot((labels.long() + 1) % C, C).permute(0, 3, 1, 2).double()
    head.losses(head(features())._replace(logits=wrong), labels)
    assert torch.equal(head.prototypes, before)


def test_a_step_by_hand():
    prototypes = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    units = torch.tensor([[0.0, 1.0], [0.6, 0.8], [-1.0, 0.0], [1.0, 0.0]])
    nearest = torch.tensor([0, 0, 2, 2])  # two to the first, two that count nowhere
    after = moved(prototypes, units, nearest, 0.5)
    mean = np.array([0.6, 1.8]) / np.hypot(0.6, 1.8)
    step = (np.array([1.0, 0.0]) + mean) / 2
    torch.testing.assert_close(after[0, 0], torch.tensor(step / np.linalg.norm(step), dtype=torch.float32))
    assert torch.equal(after[0, 1], prototypes[0, 1])


def test_embeddings_that_cancel_move_nothing():
    prototypes = torch.tensor([[[0.6, 0.8]]])
    units = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert torch.equal(moved(prototypes, units, torch.tensor([0, 0]), 0.0), prototypes)


def test_evaluation_changes_nothing():
    head = head_of().eval()
    before = copy.deepcopy(head.state_dict())
    _, labels = cells_and_labels(4)
    first = head.losses(head(features()), labels)
    second = head.losses(head(features()), labels)
    assert all(torch.equal(head.state_dict()[name], value) for name, value in before.items())
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_moving_prototypes_leaves_the_gradient_of_the_step_alone():
    """Losses and gradients in training are those with fixed prototypes, to the bit."""
    _, labels = cells_and_labels(4)
    losses, gradients = [], []
    for training in (True, False):
        head = head_of(momentum=0.0).train(training)  # the longest step
        total = weighted_sum(head.losses(head(features()), labels), head.loss_weights)
        total.backward()
        losses.append(total)
        gradients.append([parameter.grad for parameter in head.parameters()])
    assert torch.equal(*losses)
    for first, second in zip(*gradients, strict=True):
        assert first is not None and second is not None
        assert torch.equal(first, second)


def test_clustering_runs_in_float32_under_autocast():
    torch.manual_seed(0)
    head = head_of().float()
    _, labels = cells_and_labels(4)
    maps = [features()[0].float()]
    exact = head.eval()(maps)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = head(maps)
        named = head.losses(prediction, labels)
    assert prediction.logits.dtype == prediction.embeddings.dtype == torch.float32
    torch.testing.assert_close(prediction.embeddings, exact.embeddings, rtol=0, atol=0.05)
    outside = head.losses(prediction, labels)
    assert all(torch.equal(named[name], outside[name]) for name in named)
    torch.testing.assert_close(prediction.embeddings.norm(dim=1), torch.ones(2, 4, 5))


# In a network


def small_network(width: int, classes: int = len(CLASSES)) -> Network:
    """A dilated network of 8 pixels a cell with this head, under seed 0, with the settings of the paper."""
    torch.manual_seed(0)
    backbone = backbone_of("tiny_resnet", 8)
    decoder = OfLastMap(
        nn.Conv2d(backbone.channels[-1], width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Dropout(0.1),
    )
    settings = SETTINGS | {"prototypes": 10, "momentum": 0.999, "contrast": 0.01, "distance": 0.01}
    return Network(backbone, None, pixel_head(decoder, width, classes, prototypes=part(settings)), None)


def learner(network: Network, iterations: int) -> Learner:
    """With the optimizer, schedule and rates of training."""
    optimizer = build_optimizer(network, OptimizerSettings("sgd", 0.02, 10, momentum=0.9, weight_decay=1e-4))
    schedule = polynomial(optimizer, iterations, 0.9, 0)
    return Learner(network, network.head.loss_weights, optimizer, schedule)


def test_a_run_that_is_resumed_ends_with_the_same_bits(tmp_path):
    """From the checkpoint of iteration 3 of 6, into a network and a generator that stand elsewhere."""
    (tmp_path / "whole").mkdir()
    whole = small_network(16)
    by_heart(learner(whole, 6), 6, tmp_path / "whole")
    by_heart(learner(small_network(16), 6), 6, tmp_path, checkpoint_seconds=0, stop_after=4)

    resumed = small_network(16)
    other = learner(resumed, 6)
    assert checkpoint.resume(tmp_path, resumed, other.optimizer, other.schedule, 6).iteration == 3
    for tensor in resumed.state_dict().values():
        tensor.zero_()
    torch.manual_seed(99)
    by_heart(learner(resumed, 6), 6, tmp_path)
    expected, start = whole.state_dict(), small_network(16).state_dict()
    assert all(torch.equal(resumed.state_dict()[name], value) for name, value in expected.items())
    assert not torch.equal(expected["head.prototypes"], start["head.prototypes"])


@pytest.mark.parametrize("size", [(32, 40), (37, 45), (5, 3), (1, 1)])
def test_scores_sum_to_one_and_have_image_size(size):
    network = small_network(16).eval()
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    labels = torch.randint(0, 11, (2, *size), dtype=torch.uint8)
    with torch.no_grad():
        output = network(images)
        scores = network.scores(output, size)
        losses = network.losses(output, labels, torch.zeros_like(labels))
    assert scores.shape == (2, 11, *size)
    assert (scores >= 0).all()
    torch.testing.assert_close(scores.sum(1), torch.ones(2, *size))
    assert all(bool(value.isfinite()) for value in losses.values())


def test_overfits_four_images(record_property, tmp_path):
    """More than 90 mIoU, pooled over pixels, with the optimizer, schedule and rates of training."""
    network = small_network(32)
    by_heart(learner(network, 100), 100, tmp_path)
    reached = miou(network)
    record_property("miou", reached)
    assert reached > 90
