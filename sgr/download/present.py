"""Make a dataset present in a folder: what is there is left alone, what is missing is downloaded and unpacked.

Until it is whole, everything lies in the folder's `.download`, under names that say how far it is: `<archive>.part`
while it comes, `<archive>` when it is verified, `<archive>.tree` when it is unpacked. A killed command leaves no more
than that, and the next one goes on from there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import requests
from tqdm import tqdm

from sgr.download import cityscapes_login as cityscapes
from sgr.download import http
from sgr.download.address import below, printable
from sgr.download.layout import Archive
from sgr.download.space import need
from sgr.download.unpack import Damaged, unpack
from sgr.errors import UserError
from sgr.jobs.locks import locked

UNFINISHED, FINISHED, LOCK = ".download", ".downloaded", ".download.lock"


def make_present(dataset: str, archives: Sequence[Archive], folder: Path, mirror: str | None = None) -> None:
    """Make `folder` hold a dataset as its owners ship it.

    An archive is needed when nothing that it provides is in the folder. It is taken from the folder itself or the one
    around it, where the user may have put it; else from the mirror; else from its official address.

    Args:
        dataset: its name, for the sentences.
        archives: all that bring it.
        mirror: address or folder with the archives under their official names.

    Raises:
        UserError: a sentence for whatever goes wrong; the same call goes on later.
    """
    if not (needed(archives, folder) or (folder / UNFINISHED).exists() or (folder / FINISHED).exists()):
        return
    if not folder.parent.is_dir():
        raise UserError(
            f"no folder {folder} for dataset {dataset}, and no {folder.parent} to download it into: set SGR_DATA, or "
            "data in cluster.yaml, to a folder that is there"
        )
    new = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
        with locked(folder, LOCK, "data"):
            try:
                _finish(dataset, archives, folder, mirror)
            finally:
                _tidy(folder, new)
    except OSError as error:
        raise UserError(
            f"{dataset}: {error.filename or folder}: {error.strerror or error}; what is there is kept, mend it and "
            "run the command again"
        ) from None


def needed(archives: Sequence[Archive], folder: Path) -> list[Archive]:
    """Those archives that a folder still needs, those not yet moved out of `.download` among them."""
    return [
        archive
        for archive in archives
        if _tree(folder, archive).exists() or not any((folder / name).exists() for name in archive.provides)
    ]


def _finish(dataset: str, archives: Sequence[Archive], folder: Path, mirror: str | None) -> None:
    work, finished = folder / UNFINISHED, folder / FINISHED
    shutil.rmtree(finished, ignore_errors=True)
    missing = needed(archives, folder)
    if missing or work.exists():
        work.mkdir(parents=True, exist_ok=True)
        _complete(dataset, folder, missing, mirror)
        # one rename ends the download, so that a kill while files are removed leaves no half of it
        work.rename(finished)
        shutil.rmtree(finished)


def _complete(dataset: str, folder: Path, archives: list[Archive], mirror: str | None) -> None:
    places = [folder, folder.parent]
    if mirror and "://" not in mirror:
        places.append(Path(mirror).expanduser())
    todo = [archive for archive in archives if not _tree(folder, archive).exists()]
    given = {archive: _given(archive, places) for archive in todo}
    _check_space(dataset, folder, given)
    for archive, path in given.items():
        if path is not None:
            verify(path, archive, "get it anew")
            unpack(path, _tree(folder, archive), archive.inside)
            continue
        path = _downloaded(archive, folder, mirror)
        try:
            unpack(path, _tree(folder, archive), archive.inside)
        except Damaged as error:
            path.unlink()
            raise UserError(f"{error}; it was removed, run the command again to download it anew") from None
        path.unlink()
    for archive in archives:
        for entry in sorted(_tree(folder, archive).iterdir()):
            # both archives of Cityscapes bring a README and a licence
            if entry.is_dir() or not (folder / entry.name).exists():
                entry.rename(folder / entry.name)


def _given(archive: Archive, places: list[Path]) -> Path | None:
    return next((place / archive.name for place in places if (place / archive.name).is_file()), None)


def _downloaded(archive: Archive, folder: Path, mirror: str | None) -> Path:
    """The verified archive in `.download`."""
    path = folder / UNFINISHED / archive.name
    if path.exists():
        return path
    address, session = _origin(archive, folder, mirror)
    print(f"{archive.name}: from {printable(address)} into {folder}", flush=True)
    part = path.with_name(path.name + ".part")
    http.fetch(address, part, http.patient(session), archive.bytes, archive.checksum is not None)
    try:
        verify(
            part, archive, f"it was removed, run the command again or get {printable(address)} in another way"
        )
    except UserError:
        part.unlink()
        raise
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    part.rename(path)
    part.with_name(part.name + ".json").unlink()
    return path


def _origin(archive: Archive, folder: Path, mirror: str | None) -> tuple[str, requests.Session]:
    if mirror and "://" in mirror:
        return below(mirror, archive.name), requests.Session()
    if mirror and not Path(mirror).expanduser().is_dir():
        raise UserError(
            "SGR_MIRROR, or mirror in cluster.yaml, names neither an address, which begins with https://, nor a folder "
            "that is there"
        )
    if mirror:
        raise UserError(f"the mirror {mirror} holds no {archive.name}: put it there, or unset SGR_MIRROR")
    if archive.address:
        return archive.address, requests.Session()
    session = cityscapes.login(folder)
    return cityscapes.address(archive.name, session), session


def verify(path: Path, archive: Archive, otherwise: str) -> None:
    """Compare a file with what is published of the archive. Raises UserError, which ends with `otherwise`."""
    size = path.stat().st_size
    if archive.bytes not in (None, size):
        raise UserError(f"{path} has {size} bytes, but {archive.name} has {archive.bytes}: {otherwise}")
    if archive.checksum is not None:
        algorithm, expected = archive.checksum.split(":")
        digest = hashlib.new(algorithm)
        with (
            open(path, "rb") as file,
            tqdm(desc=f"verify {archive.name}", total=size, unit="B", unit_scale=True, disable=None) as bar,
        ):
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                bar.update(len(chunk))
        if digest.hexdigest() != expected:
            raise UserError(
                f"{path} has {algorithm.upper()} {digest.hexdigest()[:8]}…, not {expected[:8]}…, so it is damaged or "
                f"another file: {otherwise}"
            )
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            raise UserError(f"{path} is not a ZIP archive: {otherwise}")


def _check_space(dataset: str, folder: Path, given: dict[Archive, Path | None]) -> None:
    """All that is to be unpacked, and the largest of the archives that go as soon as they are unpacked."""
    unpacked = sum(archive.unpacked for archive in given)
    largest = 0.0
    for archive, path in given.items():
        if path is None:
            here = sum(
                (folder / UNFINISHED / f"{archive.name}{suffix}").stat().st_size
                for suffix in ("", ".part")
                if (folder / UNFINISHED / f"{archive.name}{suffix}").exists()
            )
            largest = max(largest, (archive.bytes or archive.unpacked * 1e9) - here)
    need(int(unpacked * 1e9 + largest), folder, dataset)


def _tidy(folder: Path, new: bool) -> None:
    """Remove the lock when nothing is unfinished, and what an attempt that brought nothing has made."""
    with suppress(OSError):
        (folder / UNFINISHED).rmdir()
    if not (folder / UNFINISHED).exists():
        with suppress(OSError):
            (folder / LOCK).unlink()
            if new:
                folder.rmdir()


def _tree(folder: Path, archive: Archive) -> Path:
    return folder / UNFINISHED / f"{archive.name}.tree"
