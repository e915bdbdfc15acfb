"""The interface every network of the project has, and the networks that classify each pixel.

Images go in, class scores at image size come out, so that scales and flips can be averaged; beside them a dict of
named losses, and the regions with their tokens for the metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgr.data.files import IGNORE
from sgr.models.backbone import Backbone

if TYPE_CHECKING:
    from sgr.component import SGROutput
    from sgr.glore import GloReOutput
    from sgr.losses import ConceptLoss


class Output(NamedTuple):
    """Class logits (B, classes, h, w), and what the component returned, where there is one."""

    logits: Tensor
    component: SGROutput | GloReOutput | None


class Network(nn.Module):
    """backbone -> component -> head, Figure 2.

    Args:
        backbone: images to features.
        component: None, `sgr.SGR` or `sgr.GloRe`.
        head: features to class logits.
        concept_loss: None, or `sgr.ConceptLoss`, for SGR alone.
    """

    def __init__(
        self,
        backbone: Backbone,
        component: nn.Module | None,
        head: nn.Module,
        concept_loss: ConceptLoss | None,
    ) -> None:
        super().__init__()
        self.backbone, self.component, self.head, self.concept_loss = backbone, component, head, concept_loss

    def forward(self, images: Tensor) -> Output:
        """images: (B, 3, H, W) in 0..255."""
        features = self.backbone(images)
        if self.component is None:
            return Output(self.head(features), None)
        enhanced = self.component(features)
        return Output(self.head(enhanced.features), enhanced)

    def losses(self, output: Output, labels: Tensor, components: Tensor) -> dict[str, Tensor]:
        """Named losses, unweighted: cross-entropy over labelled pixels, and the terms of Eq. 6.

        Args:
            output: of `forward`.
            labels: (B, H, W) integers, 255 where unlabelled.
            components: (B, H, W) integers, 0 for no component.
        """
        logits = F.interpolate(output.logits.float(), labels.shape[1:], mode="bilinear", align_corners=False)
        total = F.cross_entropy(logits, labels.long(), ignore_index=IGNORE, reduction="sum")
        named = {"segmentation": total / (labels != IGNORE).sum().clamp_min(1)}
        if self.concept_loss is not None:
            terms = self.concept_loss.terms(cast("SGROutput", output.component).concept_logits, components)
            named |= {f"concept_{name}": term for name, term in terms.items()}
        return named

    def scores(self, output: Output, size: tuple[int, int]) -> Tensor:
        """Class probabilities at image size: (B, classes, H, W)."""
        logits = F.interpolate(output.logits.float(), size, mode="bilinear", align_corners=False)
        return logits.softmax(1)

    def regions(self, output: Output) -> Tensor:
        """Weights of the component's regions, not negative, (B, K, h, w)."""
        assert output.component is not None, "a network without a component has no regions"
        return output.component.regions


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
