"""Convolutional backbones of timm: ResNet and EfficientNet, dilated to a stride."""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor, nn


def body(stride: int, *, model: str, **arguments: Any) -> tuple[nn.Module, list[int], int]:
    """timm's feature extractor `model`; below stride 32 the last stages are dilated."""
    extractor: Any = timm.create_model(
        model, features_only=True, out_indices=(1, 2, 3, 4), output_stride=stride, **arguments
    )
    return extractor, extractor.feature_info.channels(), stride


def published(tensors: dict[str, Tensor], fresh: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's ResNet has timm's names; the packaged EfficientNet has others, in the order of timm's."""
    return tensors if "conv1.weight" in fresh else dict(zip(fresh, tensors.values(), strict=False))
