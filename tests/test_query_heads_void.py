"""Void pixels never count in the losses of the query heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sgr.data.files import IGNORE
from sgr.models.heads.queries import Answers, QueryPrediction
from sgr.models.network import weighted_sum
from tests.query_heads import (
    CLASSES,
    FAMILIES,
    POINTS,
    QUERIES,
    blocks,
    head_of,
    losses_of,
    random_prediction,
)

pytestmark = pytest.mark.usefixtures("deterministic")


@pytest.mark.parametrize("family", FAMILIES)
def test_void_pixels_never_count(family):
    """What is predicted there changes no loss, bit for bit, and has no gradient; elsewhere it does."""
    labels = blocks(
        [[0, IGNORE, 1, 1], [0, 3, IGNORE, 1]], [[IGNORE, IGNORE, 5, 5], [5, 5, 5, IGNORE]], cell=8
    )
    labels[0, 3, :] = IGNORE
    void = (labels == IGNORE)[:, None]
    head = head_of(family)
    prediction = random_prediction(labels)
    maps = [prediction.mask_logits, prediction.auxiliary[0].mask_logits]
    for map in maps:
        map.requires_grad_()
    losses = losses_of(head, prediction, labels)
    weighted_sum(losses, head.loss_weights).backward()
    for map in maps:
        assert map.grad is not None
        assert not map.grad.masked_fill(~void, 0).any()
        assert map.grad.any()

    def changed(where: Tensor) -> dict[str, Tensor]:
        noise = torch.randn(maps[0].shape, generator=torch.Generator().manual_seed(9))
        first, second = (map.detach() + 50 * noise * where for map in maps)
        auxiliary = [Answers(prediction.auxiliary[0].class_logits, second)]
        return losses_of(head, QueryPrediction(prediction.class_logits, first, auxiliary), labels)

    for name, value in changed(void).items():
        assert torch.equal(value, losses[name]), name
    for name, value in changed(~void).items():
        assert value != losses[name], name


@pytest.mark.parametrize("family", FAMILIES)
def test_coarse_cells_amid_void_have_no_gradient(family):
    labels = blocks([[0, 0, 1, 1], [IGNORE] * 4, [IGNORE] * 4, [3, 3, 3, 0]], cell=8)
    prediction = random_prediction(labels, 4)  # two rows of cells a block
    prediction.mask_logits.requires_grad_()
    losses = losses_of(head_of(family), prediction, labels)
    (losses["mask"] + losses["dice"]).backward()
    gradient = prediction.mask_logits.grad
    assert gradient is not None
    assert not gradient[:, :, 3:5].any()  # rows 2 and 5 touch labelled pixels by interpolation
    assert gradient[:, :, :3].any()
    assert gradient[:, :, 5:].any()


def test_points_sought_in_doubt_are_not_spent_on_void():
    """Constant logits, and one class in a frame of void: by hand from the number n of the points that count."""
    labels = torch.full((1, 40, 40), IGNORE, dtype=torch.uint8)
    labels[0, 8:32, 8:32] = 4
    head = head_of("mask2former")
    prediction = QueryPrediction(
        torch.zeros(1, QUERIES, CLASSES + 1), torch.full((1, QUERIES, 10, 10), 0.5), []
    )
    losses = losses_of(head, prediction, labels)
    p = 1 / (1 + np.exp(-0.5))
    n = losses["mask"].item() * POINTS / -np.log(p)
    assert n == pytest.approx(round(n), abs=1e-4)
    assert POINTS * 3 // 4 <= round(n) < POINTS
    assert losses["dice"].item() == pytest.approx(1 - (2 * n * p + 1) / (n * p + n + 1), rel=1e-4)
