"""Reading the component archive: connected components of every training label map, computed once (footnote 2).

A ZIP, stored, of one PNG a label map, 8 bits or 16 where more than 255 components are kept, which
sgr.data.component_extraction writes.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sgr.errors import UserError


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
