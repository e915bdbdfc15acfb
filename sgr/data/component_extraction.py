"""Connected components of every label map of a split, computed once, over all cores, into one archive (footnote 2)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sgr.connected import connected_components
from sgr.data import reader
from sgr.data.files import IGNORE
from sgr.data.manifest import Manifest, samples
from sgr.data.parallel import in_parallel
from sgr.files import open_aside


def extract(
    root: Path,
    manifest: Manifest,
    split: str,
    path: Path,
    opening: int = 3,
    min_share: float = 0.05,
) -> None:
    """Write the component archive of a split; `opening` and `min_share` as in `connected_components`."""
    name = manifest["dataset"]
    arguments = (
        (name, sample.id, sample.label, opening, min_share) for sample in samples(root, manifest, split)
    )
    write(path, in_parallel(_encoded_components, arguments))


def write(path: Path, items: Iterable[tuple[str, bytes]]) -> None:
    """Write (id, encoded components) pairs, in strictly ascending order of ids, one at a time.

    The same items give the same bytes. Raises ValueError for another order.
    """
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


def encode(components: npt.NDArray[Any]) -> bytes:
    """The PNG of components (H, W), 0 for none. Raises ValueError if there are more than 16 bits with a sign hold."""
    largest = components.max(initial=0)
    if largest > np.iinfo(np.int16).max:
        raise ValueError(f"{largest} components in one label map, but training reads 16 bits")
    buffer = io.BytesIO()
    Image.fromarray(components.astype(np.uint8 if largest <= 255 else np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def _encoded_components(
    dataset: str, name: str, label: Path, opening: int, min_share: float
) -> tuple[str, bytes]:
    ids = reader(dataset).read_label(label)
    return name, encode(connected_components(ids, IGNORE, opening, min_share))
