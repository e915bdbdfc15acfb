"""Unpack a ZIP file aside: nothing outside the target, nothing but files and folders, no more than it declares."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm import tqdm

from sgr.download.space import need
from sgr.errors import UserError

LARGEST_RATIO = 20  # of the declared size to the archive's: images do not shrink, JSON to a quarter
# what zipfile raises for members that are not what the archive says
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    FileExistsError,
    NotADirectoryError,
    ValueError,
)


class Damaged(UserError):
    """An archive that is not what was published."""


def unpack(archive: Path, folder: Path, inside: str | None = None) -> None:
    """Write the files of an archive under `folder`, which appears when all of them are there.

    Args:
        inside: only the content of this folder of the archive, at whatever depth it is.

    Raises:
        Damaged: the archive is damaged or not a ZIP; a member would land outside of the folder, is a link or a
            device, is encrypted, or comes twice; or it declares a size that no dataset has.
        UserError: the disk lacks the space.
    """
    aside = folder.with_name(folder.name + ".aside")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as file:
            members = _checked(archive, file.infolist(), inside)
            total = sum(member.file_size for member, _ in members)
            need(total, folder.parent, f"unpacking {archive.name}")
            aside.mkdir()
            with tqdm(
                desc=f"unpack {archive.name}", total=total, unit="B", unit_scale=True, disable=None
            ) as bar:
                for member, path in members:
                    target = aside / path
                    if member.is_dir():
                        target.mkdir(parents=True, exist_ok=True)
                        continue
                    target.parent.mkdir(parents=True, exist_ok=True)
                    # zipfile compares size and checksum with the declared ones when the member ends
                    with file.open(member) as packed, open(target, "xb") as out:
                        shutil.copyfileobj(packed, out, 1 << 20)
                    bar.update(member.file_size)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        nonsense = isinstance(error, OSError) and error.errno in (errno.EINVAL, errno.ENAMETOOLONG)
        if nonsense or isinstance(error, DAMAGE):
            raise Damaged(f"{archive} is damaged or is not a ZIP archive: {error}") from None
        raise
    os.sync()
    aside.rename(folder)


def _checked(
    archive: Path, members: list[zipfile.ZipInfo], inside: str | None
) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The members to unpack, each with its path under the target. Raises Damaged before anything is written."""
    declared, packed = sum(member.file_size for member in members), archive.stat().st_size
    if declared > LARGEST_RATIO * packed:
        raise Damaged(
            f"{archive} has {packed} bytes and declares {declared}, more than {LARGEST_RATIO} times as many: it is "
            "not the published archive"
        )
    chosen: list[tuple[zipfile.ZipInfo, PurePosixPath]] = []
    for member in members:
        name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
        path = PurePosixPath(name)
        if inside is not None:
            if inside not in path.parts[:-1]:
                continue
            path = PurePosixPath(*path.parts[path.parts.index(inside) + 1 :])
        wrong = None
        if (
            path.is_absolute()
            or PureWindowsPath(name).drive
            or ".." in path.parts
            or set(name) & {"\\", "\0"}
        ):
            wrong = "lies outside of the archive's own folder"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            wrong = "is a link or a device"
        elif member.flag_bits & 0x1:
            wrong = "is encrypted"
        if wrong:
            raise Damaged(f"{archive}: its member {name!r} {wrong}: it is not the published archive")
        chosen.append((member, path))
    if not any(not member.is_dir() for member, _ in chosen):
        raise Damaged(f"{archive} holds no file" + (f" in a folder {inside}" if inside else ""))
    return chosen
