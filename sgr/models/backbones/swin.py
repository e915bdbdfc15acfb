"""Swin Transformer (Liu et al., ICCV 2021), of transformers."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, nn
from transformers.models.swin.configuration_swin import SwinConfig
from transformers.models.swin.modeling_swin import SwinBackbone

# torchvision's names to transformers', in order; `features` alternates stages and the patch mergings that end them
RENAMED = (
    (r"^features\.0\.0\.", "swin.embeddings.patch_embeddings.projection."),
    (r"^features\.0\.2\.", "swin.embeddings.norm."),
    (r"^features\.(\d)\.(reduction|norm)\.", r"swin.encoder.layers.\1.downsample.\2."),
    (r"^features\.(\d)\.(\d+)\.", r"swin.encoder.layers.\1.blocks.\2."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.attn\.relative", ".attention.relative_position_bias.relative"),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
    (r"layers\.(\d)", lambda match: f"layers.{(int(match[1]) - 1) // 2}"),
)


class Swin(SwinBackbone):
    """The four stages' maps, each behind a layer norm of its own."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__(config)
        # the classifier's norm: nothing here reads it, so it would get no gradient
        self.swin.add_module("layernorm", nn.Identity())

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """(B, 3, H, W) -> maps (B, width * 2 ** i, ceil(H / s_i), ceil(W / s_i)) of strides s_i."""
        maps: tuple[Tensor, ...] = super().forward(images).feature_maps
        return maps


def body(
    stride: int, *, width: int, depths: tuple[int, ...], heads: tuple[int, ...], window: int, drop_path: float
) -> tuple[Swin, list[int], int]:
    """Patches of stride / 8 pixels: 4 at stride 32, as published.

    Args:
        width: channels of the first map; each stage doubles them.
        depths: blocks of each stage.
        heads: attention heads of each stage.
        window: cells a side of an attention window.
        drop_path: share of the last block's attention branches left out in training, falling to 0 at the first.
    """
    settings: dict[str, Any] = {
        "patch_size": stride // 8,
        "embed_dim": width,
        "depths": depths,
        "num_heads": heads,
        "window_size": window,
        "drop_path_rate": drop_path,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    }
    return Swin(SwinConfig(**settings)), [width * 2**stage for stage in range(4)], stride


def published(tensors: dict[str, Tensor], fresh: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's `swin_t` or `swin_b` under the names of `body`; the norms of the four maps are new."""
    found = {name: tensor for name, tensor in fresh.items() if name.startswith("hidden_states_norms.")}
    for name, tensor in tensors.items():
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        if ".attn.qkv." in name:
            for letter, part in zip("qkv", tensor.chunk(3), strict=False):
                found[name.replace(".attn.qkv.", f".attention.{letter}_proj.")] = part
        else:
            found[name] = tensor
    return found
