"""What `import sgr` offers: the unit, its rival, its loss and its metrics, which check what they are given.

Each is the one of the module behind it, with the same arguments, parameters and results. A wrong argument is refused
in a sentence that says what would be right, before anything is computed. The networks of this repository's rows are
made of the modules behind, so that no check runs in a training job.

Dimensions: B images, C channels, h x w cells, H x W pixels, K concepts.
"""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor

from sgr import connected, glore, losses, matching, semantics, unit
from sgr.checks import (
    check_components,
    check_features,
    check_floating,
    check_labels,
    check_maps,
    look_like_labels,
    mostly_alone,
    shape_of,
)
from sgr.glore import GloReOutput
from sgr.semantics import Semantics
from sgr.unit import SGROutput


class SGR(unit.SGR):
    __doc__ = unit.SGR.__doc__

    def forward(self, x: Tensor) -> SGROutput:
        """x: features (B, C, h, w). Returns `SGROutput`, its features of the same shape.

        Raises:
            TypeError: `x` is no tensor of floating point numbers.
            ValueError: `x` does not have four dimensions and the unit's channels.
        """
        check_features("SGR", self.expand.out_channels, x)
        return super().forward(x)


class GloRe(glore.GloRe):
    __doc__ = glore.GloRe.__doc__

    def forward(self, x: Tensor) -> GloReOutput:
        """x: features (B, C, h, w). Returns `GloReOutput`, its features of the same shape.

        Raises: as `SGR.forward`.
        """
        check_features("GloRe", self.expand.out_channels, x)
        return super().forward(x)


class ConceptLoss(losses.ConceptLoss):
    __doc__ = losses.ConceptLoss.__doc__

    _looked = False  # whether the first batch holds labels: to look takes milliseconds an image

    def terms(self, concept_logits: Tensor, components: Tensor) -> dict[str, Tensor]:
        """The terms of Eq. 6 by name, unweighted: `focal`, `dice`, `cosine`. The loss itself checks the same.

        Args:
            concept_logits: (B, K, h, w).
            components: (B, H, W) integers, 0 for no component (`sgr.connected_components`).

        Raises:
            TypeError: one of them is no tensor, or has numbers of the wrong kind.
            ValueError: a shape is wrong, or `components` holds labels.
        """
        check_maps("concept_logits", "unit(features).concept_logits", concept_logits)
        check_labels("components", components, len(concept_logits))
        check_components(components)
        if not self._looked and look_like_labels(components):
            warnings.warn(
                "components look like labels, where one number stands for several pieces: give "
                "sgr.connected_components(labels)",
                stacklevel=2,
            )
        self._looked = True
        return super().terms(concept_logits, components)


def match_concepts(cost: Tensor, L: int, counts: Tensor | None = None) -> Tensor:
    check_floating("cost", "a cost (B, K, C) or (K, C)", cost)
    if cost.dim() not in (2, 3):
        raise ValueError(f"cost is (B, K, C) or (K, C), not of shape {shape_of(cost)}")
    if L < 1:
        raise ValueError(f"L must be at least 1, not {L}")
    images = 1 if cost.dim() == 2 else len(cost)
    if counts is not None and counts.shape != (images,):
        raise ValueError(
            f"counts is a number of components for each of {images} images, not {shape_of(counts)}"
        )
    return matching.match_concepts(cost, L, counts)


def connected_components(
    labels: Any, ignore_index: int = 255, opening: int = 3, min_share: float = 0.05
) -> Any:
    shape = getattr(labels, "shape", None)
    if shape is None or not hasattr(labels, "dtype"):
        raise TypeError(f"labels are a numpy array or a torch tensor, not {type(labels).__name__}")
    if len(shape) == 4 and 1 in (shape[1], shape[3]):
        raise ValueError(
            f"labels are (H, W) or (B, H, W), not {shape_of(labels)}: squeeze the channel out of it"
        )
    if len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) > 16:
        raise ValueError(
            f"labels are class ids (H, W) or (B, H, W), not the colours of an image {shape_of(labels)}"
        )
    components = connected.connected_components(labels, ignore_index, opening, min_share)
    if mostly_alone(labels, components, ignore_index):
        warnings.warn(
            "most images of this batch keep one component alone, and nothing of their other classes: a component "
            f"smaller than min_share={min_share:g} of the image's largest is dropped, as is what an opening of "
            f"{opening} pixels removes. For small objects give less, such as min_share=0.001",
            stacklevel=2,
        )
    return components


def token_semantics(regions: Tensor, labels: Tensor, bins: int, ignore_index: int = 255) -> Semantics:
    check_maps("regions", "unit(features).regions", regions)
    check_labels("labels", labels, len(regions))
    if bool((regions < 0).any()):
        raise ValueError("regions are weights >= 0, not logits: give concept_logits.sigmoid()")
    return semantics.token_semantics(regions, labels, bins, ignore_index)


match_concepts.__doc__ = matching.match_concepts.__doc__
connected_components.__doc__ = connected.connected_components.__doc__
token_semantics.__doc__ = semantics.token_semantics.__doc__
