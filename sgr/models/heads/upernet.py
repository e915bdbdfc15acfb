"""UperNet (Xiao et al., ECCV 2018), of transformers: pyramid pooling of the last map, a feature pyramid, and beside
them an auxiliary classifier on the third map."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.models.upernet.configuration_upernet import UperNetConfig
from transformers.models.upernet.modeling_upernet import UperNetFCNHead, UperNetHead

from sgr.models.heads.pixels import PixelHead, pixel_head


def head(
    channels: list[int], classes: int, *, width: int, prototypes: dict[str, Any] | None = None
) -> PixelHead:
    """Classifies the cells of the first map; training needs two images or more, for the norm of what is pooled whole.

    Args:
        width: channels of the pyramid; the auxiliary classifier has half as many.
    """
    settings: dict[str, Any] = {"hidden_size": width, "auxiliary_channels": width // 2, "num_labels": classes}
    config = UperNetConfig(**settings)
    decoder = UperNetHead(config, channels)
    decoder.add_module("classifier", nn.Identity())
    auxiliary = UperNetFCNHead(config, channels)
    return pixel_head(decoder, width, classes, auxiliary=auxiliary, prototypes=prototypes)
