"""The manifest of a dataset, every file of every split with its size and SHA-256, as jobs read it.

{"dataset", "splits": {split: [{"id", "image", "label", "bytes", "sha256", "size"}]}}, where paths are relative to the
dataset's folder, bytes and sha256 are of [image, label], and size is [height, width] in pixels. A file of instances
beside a label map is "instances", third in bytes and sha256. A dataset without label maps has
"annotations": {split: {"file", "bytes", "sha256"}} instead. sgr.download.manifest makes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sgr.data.files import Sample, check_split
from sgr.errors import UserError

Manifest = dict[str, Any]


def check(root: Path, manifest: Manifest) -> None:
    """Quick check before a job: every file exists under `root`, with its size. Raises UserError."""
    for name, expected in _files(manifest):
        path = Path(root) / name
        try:
            found = path.stat().st_size
        except OSError as error:
            raise UserError(f"{path} is in the manifest of {manifest['dataset']}: {error.strerror}") from None
        if found != expected:
            raise UserError(
                f"{path} has {found} bytes, but {expected} in the manifest of {manifest['dataset']}"
            )


def samples(root: Path, manifest: Manifest, split: str) -> list[Sample]:
    """Samples of a split, with their paths under `root`. Raises UserError for an unknown split."""
    check_split(split, tuple(manifest["splits"]), manifest["dataset"])
    return [
        Sample(entry["id"], Path(root) / entry["image"], Path(root) / entry["label"])
        for entry in manifest["splits"][split]
    ]


def _files(manifest: Manifest) -> Iterator[tuple[str, int]]:
    """Every file of a manifest and its bytes."""
    for entry in (entry for entries in manifest["splits"].values() for entry in entries):
        names = [entry[kind] for kind in ("image", "label", "instances") if kind in entry]
        yield from zip(names, entry["bytes"], strict=True)
    for described in manifest.get("annotations", {}).values():
        yield described["file"], described["bytes"]
