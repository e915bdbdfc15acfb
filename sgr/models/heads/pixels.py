"""Per-pixel classification: a decoder, a classifier, cross-entropy, perhaps an auxiliary classifier beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from sgr import ranks
from sgr.data.files import IGNORE
from sgr.models.heads.head import Head
from sgr.models.settings import Part

AUXILIARY_WEIGHT = 0.4  # of the auxiliary classifier's loss (PSPNet's, and since then everyone's)


class PixelPrediction(NamedTuple):
    """Class logits (B, classes, h, w); the auxiliary classifier's; what the prototypes saw."""

    logits: Tensor
    auxiliary: Tensor | None = None
    embeddings: Tensor | None = None


class OfLastMap(nn.Sequential):
    """Layers that take the last feature map alone."""

    def forward(self, features: list[Tensor]) -> Tensor:
        """features[-1] through the layers."""
        result: Tensor = super().forward(features[-1])
        return result


class PixelHead(Head):
    """decoder -> classifier.

    Args:
        decoder: feature maps to (B, width, h, w).
        classifier: (B, width, h, w) to class logits (B, classes, h, w).
        auxiliary: None, or feature maps to class logits, for the loss alone.
    """

    def __init__(self, decoder: nn.Module, classifier: nn.Module, auxiliary: nn.Module | None = None) -> None:
        super().__init__()
        self.decoder, self.classifier, self.auxiliary = decoder, classifier, auxiliary
        self.loss_weights = {"segmentation": 1.0} | (
            {} if auxiliary is None else {"auxiliary": AUXILIARY_WEIGHT}
        )

    def forward(self, features: list[Tensor]) -> PixelPrediction:
        """Logits at the decoder's resolution."""
        auxiliary = None if self.auxiliary is None else self.auxiliary(features)
        return PixelPrediction(self.classifier(self.decoder(features)), auxiliary)

    def losses(self, prediction: PixelPrediction, labels: Tensor) -> dict[str, Tensor]:
        """`segmentation`: cross-entropy over labelled pixels; `auxiliary`: the same of the auxiliary logits."""
        named = {"segmentation": cross_entropy(prediction.logits, labels)}
        if prediction.auxiliary is not None:
            named["auxiliary"] = cross_entropy(prediction.auxiliary, labels)
        return named

    def scores(self, prediction: PixelPrediction, size: tuple[int, int]) -> Tensor:
        """Class probabilities (B, classes, H, W)."""
        return upsampled(prediction.logits, size).softmax(1)


def pixel_head(
    decoder: nn.Module,
    width: int,
    classes: int,
    *,
    auxiliary: nn.Module | None = None,
    prototypes: dict[str, Any] | None = None,
) -> PixelHead:
    """A head with a linear classifier, or with ProtoSeg's prototypes where their settings are given.

    Args:
        decoder: feature maps to (B, width, h, w).
        width: channels of the decoder's output.
        prototypes: None, or the `Part` that makes `sgr.models.heads.prototypes.PrototypeHead`, as JSON.
    """
    if prototypes is None:
        return PixelHead(decoder, nn.Conv2d(width, classes, 1), auxiliary)
    head: PixelHead = Part(**prototypes).make(decoder, width, classes, auxiliary)
    return head


def upsampled(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits (B, classes, h, w) at another size, in float32, bilinear.

    The small map is made contiguous, as softmax over the channels of a large channels-last map takes twice as long.
    """
    return F.interpolate(logits.float().contiguous(), size, mode="bilinear", align_corners=False)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over labelled pixels, of logits brought to the size of the labels (B, H, W); 0 where nothing is labelled."""
    total = F.cross_entropy(
        upsampled(logits, (labels.shape[1], labels.shape[2])),
        labels.long(),
        ignore_index=IGNORE,
        reduction="sum",
    )
    return total / ranks.divisor((labels != IGNORE).sum())
