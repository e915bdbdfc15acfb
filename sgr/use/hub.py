"""A trained network on its own: a folder or a hub's repository with its weights and what builds it, config.json.

It needs this package alone: no params.yaml, no plan, no stages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from huggingface_hub import ModelCard, PyTorchModelHubMixin
from torch import Tensor, nn

from sgr.errors import UserError
from sgr.evaluation.inference import scores
from sgr.evaluation.semantics import image_regions
from sgr.models.heads.head import Head
from sgr.models.network import build
from sgr.models.settings import BackboneSettings, NetworkSettings, Part

# What a config.json may have built: it may come from anybody, and `os:system` is a callable of a module too.
PARTS = re.compile(
    r"sgr\.(unit:SGR|glore:GloRe|models\.backbones\.[a-z0-9_]+:body"
    r"|models\.heads\.[a-z0-9_]+:head|models\.heads\.prototypes:PrototypeHead)"
)

CARD = """---
{{ card_data }}
---

# {{ title }}

```python
from sgr.use.hub import TrainedNetwork

network = TrainedNetwork.from_pretrained("FOLDER or NAME/ON-A-HUB")
scores = network(images)  # (B, 3, H, W) RGB in 0..255, of any size -> (B, {{ classes }}, H, W)
names = [network.classes[index] for index in scores.mean((0, 2, 3)).topk(3).indices]
```
"""


class TrainedNetwork(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="sgr",
    pipeline_tag="image-segmentation",
    tags=["semantic-segmentation"],
    model_card_template=CARD,
):
    """A segmentation network that takes images as they are, with the names and colours of its classes.

    `TrainedNetwork.from_pretrained(<folder or name on a hub>)` gives one with its weights, in evaluation mode.

    Args:
        network: `sgr.models.settings.NetworkSettings` as nested dicts.
        resize: the scale of the images that it was trained at; images come in at their own.
        classes: their names; the channel of a class's scores = its position.
        palette: RGB in 0..255 of each class.
        about: what it is and what it was trained on, in a sentence.

    Raises:
        UserError: for a network that is not made of this package's parts.
    """

    def __init__(
        self,
        network: dict[str, Any],
        resize: float,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]],
        about: str,
    ) -> None:
        super().__init__()
        self.network = build(network_settings(network))
        self.parts = tuple(_named(network))  # `module:callable` of each
        self.resize, self.about = resize, about
        self.classes, self.palette = tuple(classes), tuple(map(tuple, palette))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..255 -> class scores (B, classes, H, W), not negative, at one scale as evaluated."""
        return scores(self.network, images, (images.shape[2], images.shape[3]), self.resize, flip=False)

    @property
    def has_regions(self) -> bool:
        """Whether it has a unit, or queries whose masks are its regions."""
        return self.network.unit is not None or type(self.network.head).regions is not Head.regions

    def regions(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Regions (1, K, h, w) of an image (1, 3, H, W), and the height and width in pixels that their cells cover."""
        return image_regions(self.network, image, self.resize)

    def generate_model_card(self, *arguments: Any, **keywords: Any) -> ModelCard:
        """README.md of the folder."""
        told = {"title": self.about, "classes": len(self.classes)}
        return super().generate_model_card(*arguments, **told, **keywords)

    @classmethod
    def _from_pretrained(cls, *, strict: bool = True, **keywords: Any) -> TrainedNetwork:
        """The library would take weights that do not fit."""
        found: TrainedNetwork = super()._from_pretrained(strict=strict, **keywords)
        return found

    @classmethod
    def _load_as_pickle(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        raise UserError(f"{model_file} is a pickle: only model.safetensors is read")


def network_settings(network: dict[str, Any]) -> NetworkSettings:
    """The settings that nested dicts hold. Raises UserError if they name anything but parts of this package."""
    for made_by in _named(network):
        if not PARTS.fullmatch(str(made_by)):
            raise UserError(f"config.json: {made_by!r} is no part of a network of this package")
    try:
        backbone, unit = network["backbone"], network["unit"]
        return NetworkSettings(
            BackboneSettings(**{**backbone, "body": Part(**backbone["body"])}),
            Part(**network["head"]),
            unit and Part(**unit),
            network["classes"],
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"config.json does not describe a network of this package ({error})") from None


def _named(value: Any) -> Iterator[Any]:
    """Every `made_by` in it, however deep."""
    if isinstance(value, dict):
        if "made_by" in value:
            yield value["made_by"]
        for inner in value.values():
            yield from _named(inner)
