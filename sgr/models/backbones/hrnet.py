"""HRNetV2 (Wang et al., TPAMI 2020), of timm."""

from __future__ import annotations

from typing import Any

from timm.models.hrnet import HighResolutionNetFeatures
from torch import Tensor
from torch.nn import functional as F

from sgr.errors import UserError

STRIDES = (4, 8, 16, 32)


class HRNet(HighResolutionNetFeatures):
    """The maps of the four branches, without the layers that classification puts behind them."""

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> maps (B, width * 2 ** i, ceil(H / s), ceil(W / s)) for s = 4, 8, 16, 32.

        Zeros fill an image up to whole cells of the last map: the branches add up only if their sizes match.
        """
        height, width = images.shape[-2:]
        maps = super().forward(F.pad(images, (0, -width % 32, 0, -height % 32)))
        return [x[:, :, : -(-height // s), : -(-width // s)] for x, s in zip(maps, STRIDES, strict=True)]


def body(
    stride: int, *, width: int, stem: int, modules: tuple[int, int, int], blocks: int
) -> tuple[HRNet, list[int], int]:
    """Four parallel branches at strides 4, 8, 16 and 32, whose exchange is the network: it has no other stride.

    Args:
        width: channels of the finest branch; each coarser one has twice as many.
        stem: channels of the first convolution and inside the first stage.
        modules: exchanges in the stages of two, three and four branches.
        blocks: residual blocks of a branch between two exchanges.

    Raises:
        UserError: for another stride than 32.
    """
    if stride != 32:
        raise UserError(f"HRNet has branches of strides 4 to 32: its stride must be 32, not {stride}")
    channels = [width * 2**branch for branch in range(4)]

    def stage(kind: str, repeats: int, *widths: int) -> dict[str, Any]:
        return {
            "num_modules": repeats,
            "num_branches": len(widths),
            "block_type": kind,
            "num_blocks": (blocks,) * len(widths),
            "num_channels": widths,
            "fuse_method": "SUM",
        }

    settings = {
        "stem_width": stem,
        "stage1": stage("BOTTLENECK", 1, stem),
        "stage2": stage("BASIC", modules[0], *channels[:2]),
        "stage3": stage("BASIC", modules[1], *channels[:3]),
        "stage4": stage("BASIC", modules[2], *channels),
    }
    return HRNet(settings, feature_location="", out_indices=(1, 2, 3, 4)), channels, 32


def published(tensors: dict[str, Tensor], fresh: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' file has timm's names."""
    return tensors
