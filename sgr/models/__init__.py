"""Networks: a backbone, perhaps a unit, a head. One file a kind of backbone, one a head family.

Backbone, family and unit are imported by name, so that the import graph of one row does not hold the others: an
edit to GloRe retrains the rows with GloRe. Every network has one interface, `Network` of network.py.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from sgr.losses import ConceptLoss
    from sgr.models.network import Network


def build(
    *,
    family: str,
    backbone: str,
    stride: int,
    head: dict[str, Any],
    unit: dict[str, Any] | None,
    classes: int,
    concept_loss: dict[str, Any] | None = None,
) -> Network:
    """The network of one row, with random weights.

    Args:
        family: a module of `sgr.models.heads`.
        backbone: see `sgr.models.recipes`.
        stride: pixels a side of one cell of the last feature map.
        head: arguments of the family's `head`.
        unit: None, or `kind` (`sgr`, `glore`) and the arguments of that unit.
        classes: classes to predict.
        concept_loss: None, or the arguments of `sgr.ConceptLoss`.
    """
    from sgr.models.backbone import Backbone
    from sgr.models.network import Network

    # The unit comes last, so that rows that differ in it alone start from the same backbone and head.
    trunk = Backbone(backbone, stride)
    segmenter = import_module(f"sgr.models.heads.{family}").head(trunk.channels, classes, **head)
    inserted = None if unit is None else build_unit(trunk.channels[-1], **unit)
    return Network(trunk, inserted, segmenter, build_concept_loss(concept_loss))


def build_unit(channels: int, *, kind: str, **arguments: Any) -> nn.Module:
    """SGR or GloRe for a feature map of `channels` channels."""
    module, name = {"sgr": ("unit", "SGR"), "glore": ("glore", "GloRe")}[kind]
    unit: nn.Module = getattr(import_module(f"sgr.{module}"), name)(channels, **arguments)
    return unit


def build_concept_loss(arguments: dict[str, Any] | None) -> ConceptLoss | None:
    """The concept loss, or None where tokens are not supervised."""
    if arguments is None:
        return None
    loss: ConceptLoss = import_module("sgr.losses").ConceptLoss(**arguments)
    return loss
