"""Published weights in small: networks with the published names, their files, and what is found and converted."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sgr.models import weights
from sgr.models.recipes import RECIPES, Recipe
from sgr.models.settings import BackboneSettings, Published

PACKAGED = "efficientnet_lite0"


# Files


def source(backbone: str) -> Published:
    """The published file of a backbone."""
    found = RECIPES[backbone].weights
    assert found is not None
    return found


def publish(folder: Path, backbone: str, tensors: dict[str, Any]) -> Published:
    """Save a state dict under the published name; returns what is published, with the checksum of this file."""
    folder.mkdir(exist_ok=True)
    published = source(backbone)
    path = folder / published.file
    torch.save(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return published._replace(sha256=digest[: len(published.sha256)])


def convert(
    folder: Path, backbone: str, tensors: dict[str, Any], settings: BackboneSettings | None = None
) -> dict[str, Tensor]:
    """The published tensors, saved, found, converted and read again.

    Args:
        settings: of a smaller backbone that has the names of the published one.
    """
    path = weights.find(backbone, publish(folder, backbone, tensors), folder)
    weights.convert(
        backbone, settings or RECIPES[backbone].settings(32), path, folder / "weights.safetensors"
    )
    return load_file(folder / "weights.safetensors")


def packaged() -> Path:
    """The file of the package."""
    return weights.find(PACKAGED, source(PACKAGED), None)


# Networks of the published files


def fill(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Random weights of a scale that keeps features finite through 101 layers."""
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.dim() == 1 and value.is_floating_point():
            value.uniform_(0, 0.2)
    return state


@cache
def torchvision_resnet() -> nn.Module:
    """torchvision's ResNet-101 with random weights."""
    from torchvision.models import resnet101

    torch.manual_seed(0)
    network = resnet101(weights=None).eval()
    network.load_state_dict(fill(network.state_dict()))
    return network


def tiny_swin() -> tuple[nn.Module, BackboneSettings]:
    """torchvision's Swin in small, and the body to match."""
    from torchvision.models.swin_transformer import SwinTransformer

    depths, heads = (2, 1, 3, 1), (1, 2, 4, 8)
    arguments = {"width": 16, "depths": depths, "heads": heads, "window": 4, "drop_path": 0.0}
    network = SwinTransformer([4, 4], 16, list(depths), list(heads), [4, 4])
    return network, Recipe("small Swin", "swin", arguments).settings(32)


class Embedding(nn.Module):
    """Overlapping patches of mmsegmentation's Mix Transformer."""

    def __init__(self, before: int, C: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(before, C, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(C)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, h, w, C)."""
        return self.norm(self.projection(x).permute(0, 2, 3, 1))


class Attention(nn.Module):
    """Attention whose keys and values are reduced R times a side."""

    def __init__(self, C: int, heads: int, R: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(C, heads, batch_first=True)
        self.R = R
        if R > 1:
            self.sr = nn.Conv2d(C, C, R, R)
            self.norm = nn.LayerNorm(C)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> the same."""
        keys = x
        if self.R > 1:
            keys = self.norm(self.sr(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        keys = keys.flatten(1, 2)
        return self.attn(x.flatten(1, 2), keys, keys)[0].view(x.shape)


class MixFFN(nn.Module):
    def __init__(self, C: int) -> None:
        super().__init__()
        depthwise = nn.Conv2d(4 * C, 4 * C, 3, padding=1, groups=4 * C)
        self.layers = nn.Sequential(
            nn.Conv2d(C, 4 * C, 1),
            depthwise,
            nn.GELU(),
            nn.Dropout(0.0),
            nn.Conv2d(4 * C, C, 1),
            nn.Dropout(0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> the same."""
        return self.layers(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Block(nn.Module):
    def __init__(self, C: int, heads: int, R: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(C), Attention(C, heads, R)
        self.norm2, self.ffn = nn.LayerNorm(C), MixFFN(C)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class MixTransformer(nn.Module):
    """The network of mmsegmentation's file, by the names of its tensors: stage i is `layers.i`, which holds the
    embedding (0), the blocks (1) and the norm of its map (2)."""

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...], heads: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for stage, (C, depth) in enumerate(zip(widths, depths, strict=True)):
            kernel, stride = (7, 4) if stage == 0 else (3, 2)
            blocks = nn.ModuleList(Block(C, heads[stage], 8 >> stage) for _ in range(depth))
            embedding = Embedding((3, *widths)[stage], C, kernel, stride)
            self.layers.append(nn.ModuleList([embedding, blocks, nn.LayerNorm(C)]))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> the maps of the four stages."""
        maps = []
        for embedding, blocks, norm in self.layers:
            x = embedding(x)
            for block in blocks:
                x = block(x)
            x = norm(x).permute(0, 3, 1, 2)
            maps.append(x)
        return maps


def tiny_mit() -> tuple[nn.Module, BackboneSettings]:
    """mmsegmentation's network in small, and the body to match."""
    arguments: dict[str, Any] = {"widths": (16, 32, 64, 128), "depths": (2, 1, 2, 1), "heads": (1, 2, 4, 8)}
    return MixTransformer(**arguments), Recipe("small MiT", "mit", {**arguments, "drop_path": 0.0}).settings(
        32
    )


def tiny_hrnet() -> tuple[nn.Module, BackboneSettings]:
    """timm's classification network, which has the authors' names, in small, and the body to match."""
    arguments: dict[str, Any] = {"width": 8, "stem": 16, "modules": (1, 2, 1), "blocks": 1}

    def stage(kind: str, repeats: int, *widths: int) -> dict[str, Any]:
        names = ("num_modules", "num_branches", "block_type", "num_blocks", "num_channels", "fuse_method")
        values = (repeats, len(widths), kind, (1,) * len(widths), widths, "SUM")
        return dict(zip(names, values, strict=True))

    network = timm.create_model(
        "hrnet_w48",
        stem_width=16,
        stage1=stage("BOTTLENECK", 1, 16),
        stage2=stage("BASIC", 1, 8, 16),
        stage3=stage("BASIC", 2, 8, 16, 32),
        stage4=stage("BASIC", 1, 8, 16, 32, 64),
    )
    return network, Recipe("small HRNet", "hrnet", arguments).settings(32)


def published_network(backbone: str) -> nn.Module:
    """A network of the published file's names and shapes."""
    if backbone == "mit_b4":
        return MixTransformer((64, 128, 320, 512), (3, 8, 27, 3), (1, 2, 5, 8))
    if backbone == "hrnetv2_w48":
        return timm.create_model("hrnet_w48")
    import torchvision

    return getattr(torchvision.models, backbone)(weights=None)
