"""Connected components of every label map of a split, computed once, over all cores (footnote 2)."""

from __future__ import annotations

from pathlib import Path

from sgr.connected import connected_components
from sgr.data import dataset
from sgr.data.component_archive import encode, write_encoded
from sgr.data.files import IGNORE, in_parallel
from sgr.data.manifest import Manifest, samples


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
    write_encoded(path, in_parallel(_encoded_components, arguments))


def _encoded_components(
    dataset_name: str, name: str, label: Path, opening: int, min_share: float
) -> tuple[str, bytes]:
    ids = dataset(dataset_name).read_label(label)
    return name, encode(connected_components(ids, IGNORE, opening, min_share))
