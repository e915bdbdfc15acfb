"""Every network of the project, whatever its family: backbone, perhaps a unit, head.

Images go in, class scores at image size come out, so that scales and flips can be averaged; beside them a dict of
named losses, and the regions with their tokens for the metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from sgr.models.backbone import Backbone
from sgr.models.heads.head import Head
from sgr.models.settings import NetworkSettings, Part

if TYPE_CHECKING:
    from sgr.glore import GloReOutput
    from sgr.losses import ConceptLoss
    from sgr.unit import SGROutput


class Output(NamedTuple):
    """What the head returned, which only the head reads, and what the unit returned, where there is one."""

    prediction: Any
    unit: SGROutput | GloReOutput | None


class Network(nn.Module):
    """backbone -> unit on the last map -> head, Figure 2.

    Args:
        backbone: images to feature maps.
        unit: None, `sgr.SGR` or `sgr.GloRe`.
        head: feature maps to a prediction.
        concept_loss: None, or `sgr.ConceptLoss`, for SGR alone.
    """

    def __init__(
        self,
        backbone: Backbone,
        unit: nn.Module | None,
        head: Head,
        concept_loss: ConceptLoss | None,
    ) -> None:
        super().__init__()
        self.backbone, self.unit, self.head, self.concept_loss = backbone, unit, head, concept_loss

    def forward(self, images: Tensor) -> Output:
        """images: (B, 3, H, W) in 0..255."""
        *finer, last = self.backbone(images)
        if self.unit is None:
            return Output(self.head([*finer, last]), None)
        enhanced = self.unit(last)
        return Output(self.head([*finer, enhanced.features]), enhanced)

    def losses(self, output: Output, labels: Tensor, components: Tensor) -> dict[str, Tensor]:
        """Named losses, unweighted: the head's, and the terms of Eq. 6.

        Args:
            output: of `forward`.
            labels: (B, H, W) integers, 255 where unlabelled.
            components: (B, H, W) integers, 0 for no component.
        """
        named = self.head.losses(output.prediction, labels)
        if self.concept_loss is not None:
            terms = self.concept_loss.terms(cast("SGROutput", output.unit).concept_logits, components)
            named |= {f"concept_{name}": term for name, term in terms.items()}
        return named

    def scores(self, output: Output, size: tuple[int, int]) -> Tensor:
        """Class scores at image size, not negative: (B, classes, H, W)."""
        return self.head.scores(output.prediction, size)

    def regions(self, output: Output) -> Tensor:
        """Weights of the unit's regions, or else of the head's own, not negative, (B, K, h, w)."""
        return self.head.regions(output.prediction) if output.unit is None else output.unit.regions


def build(settings: NetworkSettings, concept_loss: Part | None = None) -> Network:
    """The network of a row, with random weights; `concept_loss` makes `sgr.ConceptLoss` where tokens are supervised."""
    backbone = Backbone(settings.backbone)
    head = settings.head.make(backbone.channels, settings.classes)
    # The unit comes last, so that rows that differ in it alone start from the same backbone and head.
    unit = settings.unit.make(backbone.channels[-1]) if settings.unit else None
    return Network(backbone, unit, head, concept_loss.make() if concept_loss else None)


def parameter_count(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def weighted_sum(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Eq. 7. A loss without a weight, or a weight without a loss, is an error.

    Raises:
        KeyError: naming the terms that do not pair.
    """
    if losses.keys() != weights.keys():
        raise KeyError(f"losses and weights differ in {sorted(losses.keys() ^ weights.keys())}")
    return torch.stack([weights[name] * losses[name] for name in losses]).sum()
