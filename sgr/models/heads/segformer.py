"""SegFormer's all-MLP decoder (Xie et al., NeurIPS 2021), of transformers."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.models.segformer.configuration_segformer import SegformerConfig
from transformers.models.segformer.modeling_segformer import SegformerDecodeHead

from sgr.models.heads.pixels import PixelHead, pixel_head


def head(
    channels: list[int], classes: int, *, width: int, prototypes: dict[str, Any] | None = None
) -> PixelHead:
    """Classifies the cells of the first map, to which all maps are brought; `width` channels inside."""
    decoder = SegformerDecodeHead(SegformerConfig(hidden_sizes=channels, decoder_hidden_size=width))
    decoder.add_module("classifier", nn.Identity())
    return pixel_head(decoder, width, classes, prototypes=prototypes)
