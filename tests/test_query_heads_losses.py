"""Losses of the query heads against a slow formula that tries every assignment; scores and regions by the letter."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sgr.data.files import IGNORE
from sgr.models.heads.queries import Answers
from tests.query_heads import (
    CLASSES,
    FAMILIES,
    POINTS,
    QUERIES,
    TERMS,
    blocks,
    example,
    head_of,
    losses_of,
    random_prediction,
)

pytestmark = pytest.mark.usefixtures("deterministic")


@pytest.mark.parametrize("size", [(24, 32), (50, 33)])
def test_scores_are_the_sum_over_queries_of_class_times_mask(size):
    labels = blocks([[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]], [[5] * 4] * 3)
    prediction = random_prediction(labels, 4)
    scores = head_of("maskformer").scores(prediction, size)
    assert scores.shape == (2, CLASSES, *size)
    assert scores.dtype == torch.float32
    masks = F.interpolate(prediction.mask_logits.double(), size, mode="bilinear", align_corners=False)
    expected = torch.zeros(2, CLASSES, *size, dtype=torch.float64)
    for b in range(2):
        for q in range(QUERIES):
            powers = prediction.class_logits[b, q].double().exp()
            for c in range(CLASSES):
                expected[b, c] += powers[c] / powers.sum() / (1 + (-masks[b, q]).exp())
    torch.testing.assert_close(scores.double(), expected, rtol=1e-5, atol=1e-6)
    assert (scores >= 0).all()


def test_regions_are_the_masks_of_the_queries():
    prediction = random_prediction(blocks([[0, 1]]), 4)
    regions = head_of("maskformer").regions(prediction)
    torch.testing.assert_close(regions, 1 / (1 + (-prediction.mask_logits).exp()))


def mask_and_dice(logits: Any, truth: Any, counts: Any, focal: bool) -> tuple[float, float]:
    """Of one mask: a mean over all places of a sum over those that count, and dice over those that count."""
    p = 1 / (1 + np.exp(-logits))
    loss = -(truth * np.log(p) + (1 - truth) * np.log(1 - p))
    if focal:  # truth is 0 or 1
        loss = loss * (truth * 0.25 * (1 - p) ** 2 + (1 - truth) * 0.75 * p**2)
    p, truth, loss = p[counts], truth[counts], loss[counts]
    return loss.sum() / counts.size, 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)


def bilinear(image: Any, x: float, y: float) -> float:
    """The value at (x, y) in 0..1, zero outside of the image."""
    H, W = image.shape
    x, y = x * W - 0.5, y * H - 0.5
    value = 0.0
    for i in (int(np.floor(y)), int(np.floor(y)) + 1):
        for j in (int(np.floor(x)), int(np.floor(x)) + 1):
            if 0 <= i < H and 0 <= j < W:
                value += image[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return value


def at_points(image: Any, points: Any) -> Any:
    return np.array([bilinear(image, float(x), float(y)) for x, y in points])


def best_pairs(cost: Any) -> list[tuple[int, int]]:
    """Rows and columns of the cheapest assignment, one to one, in the order of the rows."""
    rows, columns = cost.shape
    if rows < columns:
        return sorted((row, column) for column, row in best_pairs(cost.T))
    choices = permutations(range(rows), columns)
    best = min(choices, key=lambda chosen: sum(cost[row, column] for column, row in enumerate(chosen)))
    return sorted((row, column) for column, row in enumerate(best))


def slow_losses(family: str, answers: Answers, labels: Tensor) -> dict[str, float]:
    """By trying every assignment, in float64, with one loop a mask; masks at half the labels' size."""
    focal = family == "maskformer"
    weights = {"maskformer": (1, 20, 1), "mask2former": (2, 5, 5)}[family]
    probabilities = answers.class_logits.double().softmax(-1).numpy()
    logits, maps = answers.mask_logits.double().numpy(), labels.numpy()
    B, Q = logits.shape[:2]
    pairs = []
    for b in range(B):
        present = sorted(set(maps[b].flatten().tolist()) - {IGNORE})
        points = torch.rand(1, POINTS, 2)[0].numpy() if not focal else None
        cost = np.zeros((Q, len(present)))
        for q in range(Q):
            for k, c in enumerate(present):
                if focal:
                    cells = maps[b, ::2, ::2]
                    mask, dice = mask_and_dice(logits[b, q], 1.0 * (cells == c), cells != IGNORE, True)
                else:
                    counts = at_points(1.0 * (maps[b] == IGNORE), points) == 0
                    mask, dice = mask_and_dice(
                        at_points(logits[b, q], points),
                        at_points(1.0 * (maps[b] == c), points),
                        counts,
                        False,
                    )
                cost[q, k] = -weights[0] * probabilities[b, q, c] + weights[1] * mask + weights[2] * dice
        pairs += [(b, q, present[k]) for q, k in best_pairs(cost)]
    uncertain = POINTS * 3 // 4
    candidates = rest = np.zeros((len(pairs), 0, 2))
    if not focal:
        candidates = torch.rand(len(pairs), 3 * POINTS, 2).numpy()
        rest = torch.rand(len(pairs), POINTS - uncertain, 2).numpy()
    masks, dices = [], []
    for number, (b, q, c) in enumerate(pairs):
        if focal:
            full = F.interpolate(
                answers.mask_logits[b : b + 1, q : q + 1].double(), labels.shape[1:], mode="bilinear"
            )
            values = full[0, 0].numpy(), 1.0 * (maps[b] == c), maps[b] != IGNORE
        else:
            void = 1.0 * (maps[b] == IGNORE)
            doubt = np.abs(at_points(logits[b, q], candidates[number]))
            doubt[at_points(void, candidates[number]) > 0] = np.inf
            points = np.concatenate([candidates[number][np.argsort(doubt)[:uncertain]], rest[number]])
            values = (
                at_points(logits[b, q], points),
                at_points(1.0 * (maps[b] == c), points),
                at_points(void, points) == 0,
            )
        mask, dice = mask_and_dice(*values, focal)
        masks.append(mask)
        dices.append(dice)
    wanted = {(b, q): c for b, q, c in pairs}
    total = share = 0.0
    for b in range(B):
        for q in range(Q):
            weight = 1.0 if (b, q) in wanted else 0.1
            total -= weight * np.log(probabilities[b, q, wanted.get((b, q), CLASSES)])
            share += weight
    count = sum(len(set(label.flatten().tolist()) - {IGNORE}) for label in maps)  # matched or not
    return {"classification": total / share, "mask": sum(masks) / count, "dice": sum(dices) / count}


@pytest.mark.parametrize("queries", [5, 2])
@pytest.mark.parametrize("void", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_against_a_slow_formula(family, void, queries):
    """Two queries are fewer than the classes of each image."""
    labels = blocks([[0, 1, 1, 4], [0, 3, 3, 4], [0, 3, 1, 1]], [[5, 5, 5, 5], [5, 2, 2, 2], [0] * 4], cell=4)
    if void:
        labels[0, 2:7, 3:9] = IGNORE
        labels[1, 5] = IGNORE
        labels[1, :, 0] = IGNORE
    prediction = random_prediction(labels, 2, queries=queries)
    losses = losses_of(head_of(family, queries=queries), prediction, labels)
    torch.manual_seed(3)
    for answers, prefix in ((Answers(*prediction[:2]), ""), (prediction.auxiliary[0], "auxiliary_")):
        for name, expected in slow_losses(family, answers, labels).items():
            assert losses[prefix + name].item() == pytest.approx(expected, rel=1e-5), prefix + name


def test_one_layer_of_maskformer_has_no_auxiliary_losses():
    head, (_, labels) = head_of("maskformer", layers=1), example()
    prediction = random_prediction(labels, 4, layers=0)
    assert list(head.losses(prediction, labels)) == list(head.loss_weights) == list(TERMS)
