"""Networks by the names of their parts, as a plan entry holds them, and what several tests feed them with."""

from __future__ import annotations

from typing import Any

from sgr.models.backbone import Backbone
from sgr.models.network import Network, build
from sgr.models.recipes import RECIPES
from sgr.models.settings import NetworkSettings, Part
from sgr.training.segmentation import loss_weights


def sgr(K: int = 8, D: int = 16, **arguments: Any) -> Part:
    """Few tokens."""
    return Part("sgr.unit:SGR", {"K": K, "D": D, **arguments})


def glore(K: int = 8, D: int = 16) -> Part:
    """Few regions."""
    return Part("sgr.glore:GloRe", {"K": K, "D": D})


def concept_loss(L: int = 4, **arguments: Any) -> Part:
    """Few active concepts."""
    return Part("sgr.losses:ConceptLoss", {"L": L, **arguments})


def settings(
    family: str, backbone: str, stride: int, unit: Part | None = None, classes: int = 11, **head: Any
) -> NetworkSettings:
    """A network of a family; `head` is what its head takes."""
    of_head = Part(f"sgr.models.heads.{family}:head", head)
    return NetworkSettings(RECIPES[backbone].settings(stride), of_head, unit, classes)


def backbone_of(name: str, stride: int = 32) -> Backbone:
    """A backbone by its name, with random weights."""
    return Backbone(RECIPES[name].settings(stride))


def weighted(settings: NetworkSettings, loss: Part | None = None) -> tuple[Network, dict[str, float]]:
    """A network and the weights of its losses, those of the concept loss with beta = 1."""
    network = build(settings, loss)
    return network, loss_weights(network, beta=1.0)
