"""The weighted sum of named losses is Eq. 6 and 7, and none is without a weight."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sgr.models.network import build, weighted_sum
from sgr.models.settings import Part
from sgr.training.segmentation import loss_weights
from tests import tiny_row
from tests.few_steps import CLASSES, example


def test_sum_of_losses_by_hand() -> None:
    losses = {"segmentation": torch.tensor(3.0), "concept_dice": torch.tensor(5.0)}
    assert weighted_sum(losses, {"segmentation": 1.0, "concept_dice": 0.5}).item() == 5.5


@pytest.mark.parametrize("weights", [{"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}, {}])
def test_losses_and_weights_must_pair(weights: dict[str, float]) -> None:
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(1.0)}
    odd = sorted(losses.keys() ^ weights.keys())
    with pytest.raises(KeyError) as raised:
        weighted_sum(losses, weights)
    assert str(odd) in str(raised.value)


@pytest.mark.parametrize("beta, rho, gamma", [(1.0, 1.0, 1.0), (0.5, 2.0, 0.25), (0.5, 2.0, 0.0)])
def test_weights_of_the_terms_are_those_of_equations_6_and_7(beta: float, rho: float, gamma: float) -> None:
    """beta times ConceptLoss as one number is the weighted sum of its named terms."""
    settings = tiny_row.training()
    assert settings.concept_loss is not None
    loss = Part(settings.concept_loss.made_by, settings.concept_loss.arguments | {"rho": rho, "gamma": gamma})
    network = build(replace(settings.network, classes=CLASSES), loss)
    weights, batch = loss_weights(network, beta), example(2)
    output = network(batch["image"])
    losses = network.losses(output, batch["label"], batch["components"])
    assert losses.keys() == weights.keys()
    assert network.concept_loss is not None and output.unit is not None
    concept = network.concept_loss(output.unit.concept_logits, batch["components"])
    expected = losses["segmentation"] + beta * concept
    torch.testing.assert_close(weighted_sum(losses, weights), expected)


def test_without_a_concept_loss_there_are_the_heads_weights_alone() -> None:
    network = build(tiny_row.training("camvid-fcn").network)
    assert loss_weights(network, 1.0) == network.head.loss_weights == {"segmentation": 1.0}
