"""What every segmentation head offers, whether it classifies pixels or masks."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Head(nn.Module):
    """Feature maps to a prediction, which only the head itself reads.

    Attributes:
        loss_weights: weight of each of its named losses.
    """

    loss_weights: dict[str, float]

    def forward(self, features: list[Tensor]) -> Any:
        """Four maps (B, channels[i], h_i, w_i), from the finest to the coarsest -> the prediction, a named tuple."""
        raise NotImplementedError

    def losses(self, prediction: Any, labels: Tensor) -> dict[str, Tensor]:
        """Named losses, unweighted, one for each of `loss_weights`; their mean over ranks is that of the whole batch.

        Args:
            prediction: of `forward`.
            labels: (B, H, W) integers, 255 where unlabelled.
        """
        raise NotImplementedError

    def scores(self, prediction: Any, size: tuple[int, int]) -> Tensor:
        """Class scores at image size, to be averaged over views: (B, classes, H, W), not negative."""
        raise NotImplementedError

    def regions(self, prediction: Any) -> Tensor:
        """Weights of the head's own regions, not negative, (B, K, h, w); only mask classification has any."""
        raise AssertionError("a network without a unit and without queries has no regions")
