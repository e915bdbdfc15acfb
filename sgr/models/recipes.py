"""Backbones by name: which file builds each, with what arguments, and what its ImageNet weights expect of an image.

Plain data, so that `plan` can check a name and find its file without importing torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sgr.errors import UserError


class Recipe(NamedTuple):
    """A backbone: title in tables, module of `sgr.models.backbones`, arguments of its `body`, colours of its images."""

    title: str
    module: str
    arguments: dict[str, Any]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


RECIPES = {
    "resnet101": Recipe("ResNet-101", "convolutional", {"model": "resnet101"}),
    # plain `efficientnet_lite0` would take the same weights and be silently wrong: TensorFlow pads differently
    "efficientnet_lite0": Recipe(
        "EfficientNet-Lite0",
        "convolutional",
        {"model": "tf_efficientnet_lite0"},
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
    ),
    # drop path as in mmsegmentation's UperNet with Swin and SegFormer
    "swin_t": Recipe(
        "Swin-T",
        "swin",
        {"width": 96, "depths": (2, 2, 6, 2), "heads": (3, 6, 12, 24), "window": 7, "drop_path": 0.3},
    ),
    "swin_b": Recipe(
        "Swin-B",
        "swin",
        {"width": 128, "depths": (2, 2, 18, 2), "heads": (4, 8, 16, 32), "window": 7, "drop_path": 0.3},
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
    ),
    "hrnetv2_w48": Recipe(
        "HRNetV2-W48", "hrnet", {"width": 48, "stem": 64, "modules": (1, 4, 3), "blocks": 4}
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


def recipe(name: str) -> Recipe:
    """The recipe of a backbone.

    Raises:
        UserError: for an unknown name.
    """
    if name not in RECIPES:
        raise UserError(f"there is no backbone {name!r}: it is one of {', '.join(RECIPES)}")
    return RECIPES[name]
