"""The component archive: connected components of every training label map, computed once (footnote 2).

A ZIP, stored, of one PNG a label map, 8 bits or 16 where more than 255 components are kept; the same maps
give the same bytes.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sgr.errors import UserError
from sgr.files import open_aside


def write(path: Path, items: Iterable[tuple[str, npt.NDArray[Any]]]) -> None:
    """Write (id, (H, W) components) pairs, in strictly ascending order of ids, one at a time."""
    write_encoded(path, ((name, encode(components)) for name, components in items))


class ComponentArchive:
    """Reads an archive; forked and spawned workers may share it, as each opens the file for itself."""

    def __init__(self, path: Path) -> None:
        """Raises UserError if there is no such file."""
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"there is no component archive {path}: run the stage components")
        self._process = 0
        self._zip: zipfile.ZipFile | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_process": 0, "_zip": None}

    def read(self, name: str) -> npt.NDArray[np.int16]:
        """(H, W) components of a sample: 0 = none, 1..C by descending area. Raises UserError."""
        try:
            return np.array(Image.open(io.BytesIO(self._opened().read(f"{name}.png")))).astype(np.int16)
        except KeyError:
            raise UserError(
                f"{self.path} has no components of {name}: it belongs to another dataset"
            ) from None
        except (zipfile.BadZipFile, OSError, SyntaxError) as error:
            raise UserError(
                f"{self.path} is damaged at {name}: {error}; run the stage components again"
            ) from None

    def _opened(self) -> zipfile.ZipFile:
        # A forked worker must not share the parent's file offset.
        if self._zip is None or self._process != os.getpid():
            self._zip, self._process = zipfile.ZipFile(self.path), os.getpid()
        return self._zip


def encode(components: npt.NDArray[Any]) -> bytes:
    largest = components.max(initial=0)
    if largest > np.iinfo(np.int16).max:
        raise ValueError(f"{largest} components in one label map, but training reads 16 bits")
    buffer = io.BytesIO()
    Image.fromarray(components.astype(np.uint8 if largest <= 255 else np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def write_encoded(path: Path, items: Iterable[tuple[str, bytes]]) -> None:
    previous = ""
    with open_aside(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in items:
            if name <= previous:
                raise ValueError(f"{name} follows {previous}, but ids come in strictly ascending order")
            previous = name
            entry = zipfile.ZipInfo(f"{name}.png", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # otherwise the bytes would tell the operating system
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
