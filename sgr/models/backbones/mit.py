"""Mix Transformer, the encoder of SegFormer (Xie et al., NeurIPS 2021), of transformers."""

from __future__ import annotations

import re

from torch import Tensor
from torch.nn import functional as F
from transformers.models.segformer.configuration_segformer import SegformerConfig
from transformers.models.segformer.modeling_segformer import SegformerModel

# mmsegmentation's names to transformers', in order
RENAMED = (
    (r"^layers\.(\d)\.0\.projection\.", r"stages.\1.patch_embeddings.proj."),
    (r"^layers\.(\d)\.0\.norm\.", r"stages.\1.patch_embeddings.layer_norm."),
    (r"^layers\.(\d)\.1\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"^layers\.(\d)\.2\.", r"stages.\1.layer_norm."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.attn\.out_proj\.", ".attention.o_proj."),
    (r"\.attn\.sr\.", ".attention.sequence_reduction.sequence_reduction."),
    (r"\.attn\.norm\.", ".attention.sequence_reduction.layer_norm."),
    (r"\.ffn\.layers\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.dwconv.dwconv."),
    (r"\.ffn\.layers\.4\.", ".mlp.fc2."),
)


class MixTransformer(SegformerModel):
    """The four stages' maps, each behind its layer norm."""

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> maps (B, widths[i], ceil(H / s_i), ceil(W / s_i)) of strides s_i.

        Zeros fill an image that is smaller than one cell of the last map, which is what attention reduces keys to.
        """
        height, width = images.shape[-2:]
        stride = self.config.strides[0] * 8
        x = F.pad(images, (0, max(0, stride - width), 0, max(0, stride - height)))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        strides = (stride // 8, stride // 4, stride // 2, stride)
        return [x[:, :, : -(-height // s), : -(-width // s)] for x, s in zip(maps, strides, strict=True)]


def body(
    stride: int, *, widths: tuple[int, ...], depths: tuple[int, ...], heads: tuple[int, ...], drop_path: float
) -> tuple[MixTransformer, list[int], int]:
    """The first convolution's stride is stride / 8: 4 at stride 32, as published.

    Args:
        widths: channels of each map.
        depths: blocks of each stage.
        heads: attention heads of each stage.
        drop_path: share of the last block's branches left out in training, falling to 0 at the first block.
    """
    config = SegformerConfig(
        hidden_sizes=widths,
        depths=depths,
        num_attention_heads=heads,
        strides=(stride // 8, 2, 2, 2),
        drop_path_rate=drop_path,
    )
    return MixTransformer(config), list(widths), stride


def published(tensors: dict[str, Tensor], fresh: dict[str, Tensor]) -> dict[str, Tensor]:
    """mmsegmentation's `mit_b4` under the names of `body`, its 1x1 convolutions as linear layers."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        if ".attn.attn.in_proj_" in name:
            for letter, part in zip("qkv", tensor.chunk(3), strict=False):
                found[name.replace(".attn.attn.in_proj_", f".attention.{letter}_proj.")] = part
        elif re.search(r"\.fc[12]\.weight$", name):
            found[name] = tensor.reshape(len(tensor), -1)
        else:
            found[name] = tensor
    return found
