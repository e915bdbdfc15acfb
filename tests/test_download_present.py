"""Making a dataset present: what is there is used, and what was killed or lacked room goes on."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from sgr.download import present
from sgr.download.layout import Archive
from sgr.errors import UserError
from tests.fault_server import Answer, FaultServer
from tests.toy_dataset import FILES, NAME, TOY, Toy, held, ranges, server, toy, zipped

__all__ = ["server", "toy"]  # fixtures


def test_whole_and_then_nothing_to_do(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    toy.finishes(tmp_path / "toy")
    assert server.requests == [(NAME, None, 200)]
    # what is there is used, though the server is gone and the folder cannot be written
    server.usual = Answer(status=500)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    toy.finishes(tmp_path / "toy")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert len(server.requests) == 1


def test_no_room(toy: Toy, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked for; when the server has more than expected; before unpacking."""
    usage = namedtuple("usage", "total used free")
    free = [10**12]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, free.pop(0) if free else 10**12))
    free[:] = [100_000]
    assert "needs 1.3 MB" in toy.refused(tmp_path / "toy") and not server.requests
    free[:] = [10**12, 200_000]
    said = toy.refused(tmp_path / "toy")
    assert f"{NAME} needs 0.3 MB" in said and "0.2 MB are free" in said and "SGR_DATA" in said
    assert not (tmp_path / "toy" / present.UNFINISHED / f"{NAME}.part").exists()
    free[:] = [10**12, 10**12, 200_000]
    with pytest.raises(UserError, match=f"unpacking {NAME} needs 0.3 MB"):
        toy.fetch(tmp_path / "toy")
    toy.finishes(tmp_path / "toy")


@pytest.mark.parametrize("given", [False, True], ids=["archive", "files"])
def test_disk_that_fills_up_meanwhile(given: bool, toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    """The kernel refuses to write on, though the look at the free space saw nothing coming."""
    (tmp_path / "toy").mkdir()
    if given:
        (tmp_path / NAME).write_bytes(TOY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, hard))
    try:
        assert "File too large" in toy.refused(tmp_path / "toy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    toy.finishes(tmp_path / "toy")
    assert ranges(server)[1:] == ([] if given else [90_000])


@pytest.mark.parametrize("place", ["toy", "."])
def test_archive_that_the_user_has(place: str, toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    """Unpacked and kept; a damaged one is refused and kept too."""
    (tmp_path / "toy").mkdir()
    archive = tmp_path / place / NAME
    archive.write_bytes(bytes(len(TOY)))
    assert str(archive) in toy.refused(tmp_path / "toy") and archive.exists()
    archive.write_bytes(TOY)
    toy.fetch(tmp_path / "toy")
    assert not server.requests and archive.read_bytes() == TOY
    archive.unlink()
    toy.finishes(tmp_path / "toy")


def test_mirrors(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    toy.change(address="http://203.0.113.1/never-asked")
    toy.fetch(tmp_path / "toy", f"{server.address}/")
    toy.finishes(tmp_path / "toy")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with pytest.raises(UserError, match=rf"the mirror {mirror} holds no {NAME}"):
        toy.fetch(tmp_path / "other", str(mirror))
    (mirror / NAME).write_bytes(TOY)
    toy.fetch(tmp_path / "other", str(mirror))
    assert held(tmp_path / "other") == FILES and (mirror / NAME).exists()


def test_what_is_there_is_not_fetched_again(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    """Two archives, one of which the folder needs; both bring a licence."""
    more = zipped({"masks/0.bin": b"0", "licence": b"mine"})
    server.files["more.zip"] = more
    toy.archives += (Archive("more.zip", f"{server.address}/more.zip", ("masks",), unpacked=0.001),)
    (tmp_path / "toy/images").mkdir(parents=True)
    (tmp_path / "toy/licence").write_bytes(b"yours")
    toy.fetch(tmp_path / "toy")
    assert [name for name, *_ in server.requests] == ["more.zip"]
    assert held(tmp_path / "toy") == {"masks/0.bin": b"0", "licence": b"yours"}


def test_no_place(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*/nowhere/toy for dataset toy.*SGR_DATA"):
        toy.fetch(tmp_path / "nowhere" / "toy")
    assert not (tmp_path / "nowhere").exists()


def killed_at(event: int, toy: Toy, folder: Path) -> bool:
    """Whether a process that makes the dataset present was killed, at its `event`-th touch of the file system."""
    child = os.fork()
    if child == 0:
        count = 0

        def watch(name: str, _: Any) -> None:
            nonlocal count
            if name in (
                "open",
                "os.rename",
                "os.mkdir",
                "os.remove",
                "os.rmdir",
                "os.scandir",
                "socket.connect",
            ):
                count += 1
                if count > event:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            toy.fetch(folder)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_killed_at_every_step(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    """The next call finishes, whatever the killed one was about to open, make, move or remove."""
    event = 0
    while True:
        folder = tmp_path / str(event) / "toy"
        folder.parent.mkdir()
        if not killed_at(event, toy, folder):
            break
        if not any((folder / name).exists() for name in (present.UNFINISHED, present.FINISHED)):
            assert set(held(folder)) - {present.LOCK} in (set(), set(FILES))
        toy.fetch(folder)
        found = held(folder)
        found.pop(present.LOCK, None)  # an empty file, where the kill came between the last two steps
        assert found == FILES, event
        assert {path.name for path in folder.iterdir()} - {present.LOCK} == {"images", "lists"}, event
        event += 1
    assert event > 30


def test_two_at_once(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    server.answers = [Answer(drop=n) for n in (100_000, 50_000)]
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            try:
                toy.finishes(tmp_path / "toy")
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert server.sent < 1.5 * len(TOY)
