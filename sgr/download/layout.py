"""What a published dataset consists of: the archives that bring it, and the parts that a whole folder holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

KINDS = {
    "image": ("image", "images"),
    "label": ("label map", "label maps"),
    "instances": ("map of instances", "maps of instances"),
}  # of files, one and more


class Archive(NamedTuple):
    """A published ZIP file.

    provides: what it puts into the dataset's folder; a folder that has one of these needs no such archive.
    unpacked: about how many GB its files take, for a look at the free space before anything is downloaded.
    checksum: `<algorithm>:<hex digits>`, or None where none is published; the same for bytes, its exact size.
    inside: the folder in the archive whose content is meant, whatever lies around it; None for all of it.
    address: None where only Cityscapes' login gets at it.
    """

    name: str
    address: str | None
    provides: tuple[str, ...]
    unpacked: float
    checksum: str | None = None
    bytes: int | None = None
    inside: str | None = None


class Part(NamedTuple):
    """The files of one kind of one split in one folder.

    folder: of the dataset's root. suffixes: any of which ends a file's name. files: how many there are officially,
    0 for a folder that is read though it is no part of the dataset.
    archive: which one brings them. kind: how they are decoded. names: the names less suffix that there should be, by
    what else is in the root. shared: whether other splits have files in the same folder. needed: whether anything
    here reads them.
    """

    split: str
    folder: str
    suffixes: tuple[str, ...]
    files: int
    archive: str
    kind: Literal["image", "label", "instances"]
    names: Callable[[Path], set[str]]
    shared: bool = False
    needed: bool = True


def stems(folder: Path, suffixes: tuple[str, ...]) -> set[str]:
    """Names, less suffix, of the files of a folder that are not empty; none if there is no folder."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {
            entry.name.removesuffix(suffix)
            for entry in entries
            for suffix in suffixes
            if entry.name.endswith(suffix) and not entry.name.startswith(".") and entry.stat().st_size
        }


def as_in(folder: str, *suffixes: str) -> Callable[[Path], set[str]]:
    """For `Part.names`: as the partners in another folder of the root."""
    return lambda root: stems(root / folder, suffixes)
