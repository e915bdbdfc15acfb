"""Reading datasets: one module each, found by name, so that a row imports its own dataset and no other."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from sgr.errors import UserError


def reader(name: str) -> ModuleType:
    """The module that reads a dataset; every such module exports the same names:

    SPLITS: names of the splits.
    index(root, split, whole=True) -> list[Sample]: the samples of a split, sorted; a missing file is a UserError, or
        else, unless they are to be `whole`, its sample is left out.
    read_label(path) -> (H, W) uint8: train ids, 255 ignored; a value outside the encoding is a UserError.

    Where instances are at hand there are also instance_file(label), the file beside a label map, and
    read_instances(label) -> (H, W) int32, a number an instance, 0 for none.

    Where there are no label maps there is no read_label, but annotation_file(root, split), an index of samples of its
    own, and verify(sample), which decodes one.

    Raises UserError for an unknown name.
    """
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name in modules and _reads(name):
        return importlib.import_module(f"{__name__}.{name}")
    raise UserError(f"sgr/data reads no dataset {name!r}: use one of {', '.join(filter(_reads, modules))}")


def _reads(name: str) -> bool:
    """Whether a module of this package reads a dataset, and is none of what the readers share."""
    return hasattr(importlib.import_module(f"{__name__}.{name}"), "index")
