"""Backbones: timm's feature extractors, dilated to a stride, with the normalisation their weights expect."""

from __future__ import annotations

from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn

from sgr.errors import UserError


class Recipe(NamedTuple):
    """timm's name and arguments, and the mean and deviation of the images its ImageNet weights were trained on."""

    model: str
    arguments: dict[str, Any]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


RECIPES = {
    "tiny": Recipe("resnet18", {"channels": (16, 32, 64, 128), "stem_width": 16}),
    "resnet101": Recipe("resnet101", {}),
    # plain `efficientnet_lite0` would take the same weights and be silently wrong: TensorFlow pads differently
    "efficientnet_lite0": Recipe("tf_efficientnet_lite0", {}, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


class Backbone(nn.Module):
    """Images to the last feature map.

    Args:
        name: one of `RECIPES`.
        stride: 8, 16 or 32 pixels a cell; below 32 the last stages are dilated.

    Attributes:
        channels: channels of the map.
        stride: as given.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, stride: int) -> None:
        super().__init__()
        if name not in RECIPES:
            raise UserError(f"there is no backbone {name!r}: it is one of {', '.join(RECIPES)}")
        recipe = RECIPES[name]
        body: Any = timm.create_model(
            recipe.model, features_only=True, out_indices=(4,), output_stride=stride, **recipe.arguments
        )
        self.body = body
        self.channels: int = body.feature_info.channels()[-1]
        self.stride = stride
        self.register_buffer("mean", 255 * torch.tensor(recipe.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(recipe.std).view(3, 1, 1), persistent=False)

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """The colour that normalisation takes to zero, for what lies outside an image."""
        red, green, blue = (round(float(value)) for value in self.mean.flatten())
        return red, green, blue

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..255, any dtype -> (B, channels, ceil(H/stride), ceil(W/stride))."""
        features: list[Tensor] = self.body((images - self.mean) / self.std)
        return features[-1]
