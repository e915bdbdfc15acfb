"""What is known of a dataset beside how its files are read: names, colours, official numbers, where it comes from.

One module a dataset, each with its DESCRIPTION; reading is sgr.data's. No training or evaluation job imports this:
what one computes with, the names of the classes for instance, stands in its plan entry.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sgr.download.layout import Archive, Part
from sgr.errors import UserError

if TYPE_CHECKING:
    from sgr.data.files import Bytes


class Split(NamedTuple):
    """Official number of images of a split, and the size (height, width) in pixels that is typical of them."""

    images: int
    size: tuple[int, int]


class Scene(NamedTuple):
    """A generated scene in the terms of a dataset.

    image: (H, W, 3) uint8. label: (H, W) uint8 train ids, 255 ignored. instances: (H, W) uint8, a number each from 1
    on, from sgr.generated.painter.FIRST_GROUP on for groups whose things are not told apart, 0 for none.
    """

    image: Bytes
    label: Bytes
    instances: Bytes


@dataclass(frozen=True)
class Generated:
    """How generated scenes become a dataset.

    roles: the class of each role of sgr.generated.painter, in the order of its ROLES: the role's own, or the nearest
        one left, or None.
    write: `write(root, split, number, scene)` adds one sample in the official layout.
    finish: `finish(root)` writes what the layout has once, lists for instance, after the last sample.
    """

    roles: tuple[str | None, ...]
    write: Callable[[Path, str, int, Scene], None]
    finish: Callable[[Path], None] = lambda root: None


@dataclass(frozen=True)
class Description:
    """A dataset as its owners publish it.

    title: as tables and figures call it.
    classes: their names; train id = position.
    splits: those that sgr.data reads.
    archives: what brings it.
    layout: the parts of a whole folder, given its root, where a layout has two forms.
    single_files: files of which there is one, each with the name of the archive that brings it.
    generated: None for a dataset that is never generated.
    things: the classes whose instances are at hand as maps beside the label maps.
    palette: official RGB of each class; empty where there is none.
    label_maps: False for a dataset with one file of annotations a split instead.
    varying_sizes: whether its images differ in size.
    """

    title: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    archives: tuple[Archive, ...]
    layout: Callable[[Path], Iterable[Part]]
    single_files: Mapping[str, str] = field(default_factory=dict)
    generated: Generated | None = None
    things: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    label_maps: bool = True
    varying_sizes: bool = False


def describe(name: str) -> Description:
    """The description of a dataset. Raises UserError for an unknown name."""
    if name not in names():
        raise UserError(f"there is no dataset {name!r}: use one of {', '.join(names())}")
    description: Description = importlib.import_module(f"{__name__}.{name}").DESCRIPTION
    return description


def names() -> tuple[str, ...]:
    """The datasets that are described, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
