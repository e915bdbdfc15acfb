"""Targets of the query heads: no class, one, all of them, or a single pixel of one."""

from __future__ import annotations

import pytest
import torch

from sgr.data.files import IGNORE
from sgr.models.heads.queries import Answers, QueryPrediction, target
from sgr.models.network import weighted_sum
from tests.query_heads import (
    CHANNELS,
    CLASSES,
    FAMILIES,
    QUERIES,
    blocks,
    head_of,
    losses_of,
    random_prediction,
)

pytestmark = pytest.mark.usefixtures("deterministic")


def test_targets_by_hand():
    found = target(torch.tensor([[3, 3, 255], [0, 5, 255]], dtype=torch.uint8))
    assert found.classes.tolist() == [0, 3, 5]
    assert found.masks.tolist() == [
        [[0, 0, 0], [1, 0, 0]],
        [[1, 1, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0]],
    ]
    assert found.void.tolist() == [[False, False, True], [False, False, True]]


NONE = [[IGNORE] * 4] * 3
ONE = [[2] * 4] * 3
ALL = [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5]]
CASES = {
    "none": [NONE, NONE],
    "one": [ONE, ONE],
    "all": [ALL, ALL],
    "mixed": [NONE, ALL],
    "ragged": [ONE, ALL],
}


@pytest.mark.parametrize("queries", [QUERIES, 2])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_any_number_of_classes_gives_finite_losses_and_gradients(family, case, queries):
    """With two queries, two of the six classes are matched."""
    labels = blocks(*CASES[case], cell=8)
    head = head_of(family, queries=queries)
    features = [torch.randn(2, c, 24 // s, 32 // s) for c, s in zip(CHANNELS, (2, 4, 8, 8), strict=True)]
    losses = losses_of(head, head(features), labels)
    assert list(losses) == list(head.loss_weights)
    assert all(value.shape == () and bool(value.isfinite()) for value in losses.values())
    weighted_sum(losses, head.loss_weights).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    answers = Answers(*head(features)[:2])
    pairs = [min(queries, len({c for row in rows for c in row} - {IGNORE})) for rows in CASES[case]]
    matches = head.match(answers, [target(label) for label in labels])
    assert [len(chosen) for chosen, _ in matches] == [len(of) for _, of in matches] == pairs
    assert all(len(set(part.tolist())) == len(part) for match in matches for part in match)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_labelled_asks_for_no_object_alone(family):
    labels = blocks(NONE, NONE)
    prediction = random_prediction(labels, 4)
    for part in prediction[:2]:
        part.requires_grad_()
    losses = losses_of(head_of(family), prediction, labels)
    expected = -prediction.class_logits.double().log_softmax(-1)[..., -1].mean()
    assert losses["classification"].item() == pytest.approx(expected.item(), rel=1e-6)
    for name in ("mask", "dice", "auxiliary_mask", "auxiliary_dice"):
        assert losses[name] == 0
    sum(losses.values()).backward()
    assert prediction.mask_logits.grad is not None and not prediction.mask_logits.grad.any()
    gradient = prediction.class_logits.grad
    assert gradient is not None
    # down the gradient "no object" rises, all else falls
    assert (gradient[..., -1] < 0).all()
    assert (gradient[..., :-1] > 0).all()


def test_empty_image_beside_others_changes_no_mask_loss():
    """MaskFormer's; Mask2Former draws other points. The classification is a mean over the queries of both."""
    head, labels = head_of("maskformer"), blocks(NONE, ALL)
    both = random_prediction(labels, 4)
    single = QueryPrediction(both[0][1:], both[1][1:], [Answers(*(part[1:] for part in both.auxiliary[0]))])
    together, alone = head.losses(both, labels), head.losses(single, labels[1:])
    for name in ("mask", "dice", "auxiliary_mask", "auxiliary_dice"):
        assert torch.equal(together[name], alone[name])
    null = -both.class_logits[0].log_softmax(-1)[:, -1].sum() * 0.1
    weight = CLASSES + (QUERIES - CLASSES) * 0.1  # of the queries of the image with all classes
    expected = (alone["classification"] * weight + null) / (weight + QUERIES * 0.1)
    torch.testing.assert_close(together["classification"], expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_pixel_of_a_class_is_a_mask(family):
    labels = torch.full((1, 24, 32), IGNORE, dtype=torch.uint8)
    labels[0, 11, 17] = 3
    prediction = random_prediction(labels, 4)
    prediction.mask_logits.requires_grad_()
    losses = losses_of(head_of(family), prediction, labels)
    assert all(bool(value.isfinite()) for value in losses.values())
    sum(losses.values()).backward()
    gradient = prediction.mask_logits.grad
    assert gradient is not None
    if family == "maskformer":  # no sampled point of Mask2Former need hit it
        queries = gradient[0].flatten(1).any(1)
        assert queries.sum() == 1  # the matched one, which is asked for more there
        assert (gradient[0, queries, 2:4, 3:5] <= 0).all()
