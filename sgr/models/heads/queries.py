"""Mask classification: each query answers with a class and a mask. What MaskFormer and Mask2Former share.

Dimensions: B images, Q queries, h x w cells of a predicted mask, H x W pixels of a label map, n classes in one image,
M pairs of a query and a class in the batch.

Void pixels never count: they are no class and no mask, and what is predicted there enters neither the matching nor the
losses, nor gets a gradient; each family says in its file where "there" is. Means over pixels or points still divide by
all of them: a labelled pixel weighs the same whatever lies around it, and images without void have the library's loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgr import ranks
from sgr.data.files import IGNORE
from sgr.errors import UserError
from sgr.models.heads.head import Head

if TYPE_CHECKING:
    from transformers.modeling_utils import PreTrainedModel

ABSENT = -1e4  # a mask logit whose sigmoid, and every loss against "not in the mask", is exactly zero
GROUPS = 32  # of the library's group norms

Match = tuple[Tensor, Tensor]  # of one image: indices of queries, indices of its classes, one pair an entry


class Answers(NamedTuple):
    """After one layer: class logits (B, Q, classes + 1), the null class last, and mask logits (B, Q, h, w)."""

    class_logits: Tensor
    mask_logits: Tensor


class QueryPrediction(NamedTuple):
    """The answers after the last layer, and those after the layers before it, for the loss alone."""

    class_logits: Tensor
    mask_logits: Tensor
    auxiliary: list[Answers]


class Target(NamedTuple):
    """Of one image: its classes (n,) in order, the binary mask of each (n, H, W), and where it is void (H, W)."""

    classes: Tensor
    masks: Tensor
    void: Tensor


class QueryHead(Head):
    """Scores, regions and losses of mask classification; a family adds the network, the matching and the mask losses.

    Args:
        classes: classes to predict.
        weights: of the losses `classification`, `mask` and `dice`.
        auxiliary: whether there are layers before the last one, each with the same losses.
        null_weight: weight of "no object" in the classification loss.
    """

    class_weights: Tensor

    def __init__(
        self, classes: int, weights: dict[str, float], *, auxiliary: bool, null_weight: float
    ) -> None:
        super().__init__()
        self.classes = classes
        self.loss_weights = dict(weights)
        if auxiliary:
            self.loss_weights |= {f"auxiliary_{name}": weight for name, weight in weights.items()}
        class_weights = torch.ones(classes + 1)
        class_weights[-1] = null_weight
        self.register_buffer("class_weights", class_weights, persistent=False)

    def match(self, answers: Answers, targets: list[Target]) -> list[Match]:
        """The best one-to-one assignment of queries to the classes of each image, min(Q, n) pairs."""
        raise NotImplementedError

    def mask_losses(self, logits: Tensor, masks: Tensor, void: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over the pairs of the losses `mask` and `dice`.

        Args:
            logits: (M, h, w) of the matched queries.
            masks: (M, H, W) of their classes, 0 or 1.
            void: (M, H, W) of their images, boolean.
        """
        raise NotImplementedError

    def losses(self, prediction: QueryPrediction, labels: Tensor) -> dict[str, Tensor]:
        """`classification`, `mask`, `dice`, and their sums over the auxiliary layers as `auxiliary_…`.

        Always in float32: with a lower precision the matching is noise.
        """
        with torch.autocast(labels.device.type, enabled=False):
            targets = [target(label) for label in labels]
            last, *before = (
                self._losses(Answers(class_logits.float(), mask_logits.float()), targets)
                for class_logits, mask_logits in [prediction[:2], *prediction.auxiliary]
            )
        if before:
            last |= {f"auxiliary_{name}": torch.stack([each[name] for each in before]).sum() for name in last}
        return last

    def _losses(self, answers: Answers, targets: list[Target]) -> dict[str, Tensor]:
        matches = self.match(answers, targets)
        images = torch.cat([torch.full_like(queries, i) for i, (queries, _) in enumerate(matches)])
        queries = torch.cat([queries for queries, _ in matches])
        matched = [(target, chosen) for target, (_, chosen) in zip(targets, matches, strict=True)]

        wanted = torch.full(answers.class_logits.shape[:2], self.classes, device=self.class_weights.device)
        wanted[images, queries] = torch.cat([target.classes[chosen] for target, chosen in matched])
        mask, dice = self.mask_losses(
            answers.mask_logits[images, queries],
            torch.cat([target.masks[chosen] for target, chosen in matched]),
            torch.stack([target.void for target in targets])[images],
        )
        count = ranks.divisor(
            torch.tensor(sum(len(target.classes) for target in targets), device=mask.device)
        )
        weight = self.class_weights[wanted].sum()  # what cross-entropy divides by
        classification = F.cross_entropy(answers.class_logits.mT, wanted, weight=self.class_weights)
        return {
            "classification": classification * (weight / ranks.mean(weight)),
            "mask": mask / count,
            "dice": dice / count,
        }

    def scores(self, prediction: QueryPrediction, size: tuple[int, int]) -> Tensor:
        """Each query votes for its classes, null left out, where its mask is: (B, classes, H, W), not negative."""
        probabilities = prediction.class_logits.float().softmax(-1)[..., :-1]
        masks = F.interpolate(prediction.mask_logits.float(), size, mode="bilinear", align_corners=False)
        masks.sigmoid_()  # in place: it is the largest
        with torch.autocast(masks.device.type, enabled=False):
            return torch.einsum("bqc,bqhw->bchw", probabilities, masks)

    def regions(self, prediction: QueryPrediction) -> Tensor:
        """The masks of the queries, (B, Q, h, w) in 0..1."""
        return prediction.mask_logits.float().sigmoid()


def target(label: Tensor) -> Target:
    """Classes and masks of one label map (H, W), integers, void where `IGNORE`."""
    void = label == IGNORE
    classes = label[~void].unique().long()  # in order
    return Target(classes, (label == classes[:, None, None]).float(), void)


def check(**sizes: int) -> None:
    """Refuses sizes of a network that cannot be built.

    Raises:
        UserError: for a size below 1, or a width that its group norms or its heads do not divide.
    """
    for name, size in sizes.items():
        if size < 1:
            raise UserError(f"{name} of the head must be at least 1, not {size}")
    for name, divisor in {"32": GROUPS, f"its {sizes['heads']} heads": sizes["heads"]}.items():
        if sizes["width"] % divisor:
            raise UserError(f"width of the head must be a multiple of {name}, not {sizes['width']}")


def initialise(head: nn.Module, library: PreTrainedModel) -> None:
    """Draws all weights of a head anew, the way a model class of the library draws those of its parts."""
    library.add_module("head", head)
    library.initialize_weights()
