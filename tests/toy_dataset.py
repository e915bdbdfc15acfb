"""A small dataset of one archive on a server with faults, and the calls that bring it or are refused."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sgr.download import http, present
from sgr.download.layout import Archive
from sgr.errors import UserError
from tests.fault_server import FaultServer, serving

NAME = "toy.zip"


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


RANDOM = np.random.default_rng(0)
FILES = {f"images/{i}.bin": RANDOM.bytes(100_000) for i in range(3)} | {"lists/all.txt": b"0 1 2\n"}
TOY = zipped(FILES)


class Toy:
    """The dataset `toy`, of one archive at first, whose properties a test may change."""

    def __init__(self, server: FaultServer) -> None:
        self.archives: tuple[Archive, ...] = (
            Archive(
                NAME,
                f"{server.address}/{NAME}",
                ("images", "lists"),
                unpacked=0.001,
                checksum=f"md5:{md5(TOY).hexdigest()}",
                bytes=len(TOY),
            ),
        )

    def change(self, **properties: Any) -> None:
        """Change properties of the archive."""
        self.archives = (self.archives[0]._replace(**properties),)

    def fetch(self, folder: Path, mirror: str | None = None) -> None:
        """Make it present."""
        present.make_present("toy", self.archives, folder, mirror)

    def finishes(self, folder: Path) -> None:
        """A call brings the dataset, and leaves nothing else."""
        self.fetch(folder)
        assert held(folder) == FILES
        assert sorted(path.name for path in folder.iterdir()) == ["images", "lists"]

    def refused(self, folder: Path) -> str:
        """What the call says; nothing of the dataset is there afterwards."""
        with pytest.raises(UserError) as error:
            self.fetch(folder)
        said = str(error.value)
        assert "\n" not in said and len(said) < 500
        assert not (folder / "images").exists() and not (folder / "lists").exists()
        assert not (folder / present.UNFINISHED / NAME).exists()
        return said


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.setattr(http, "PAUSE", 0.001)
    # a busy disk takes seconds for it, and no test pulls the plug
    monkeypatch.setattr(os, "sync", lambda: None)
    with serving({NAME: TOY}) as running:
        yield running


@pytest.fixture
def toy(server: FaultServer) -> Toy:
    """The dataset, at its server."""
    return Toy(server)


def held(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def ranges(server: FaultServer) -> list[int]:
    """Where each request began."""
    return [int(asked[6:-1]) if asked else 0 for _, asked, _ in server.requests]
