"""Downloads from a server with faults: one sentence, nothing half taken for whole, a second call that finishes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sgr.download import http, present
from tests.fault_server import HONEST, Answer, FaultServer, serving
from tests.toy_dataset import FILES, NAME, TOY, Toy, ranges, server, toy, zipped

__all__ = ["server", "toy"]  # fixtures


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("validator", [True, False])
def test_dropped_connections_are_resumed(
    checksum: bool, validator: bool, toy: Toy, server: FaultServer, tmp_path: Path
) -> None:
    if not checksum:
        toy.change(checksum=None, bytes=None)
    drops = [Answer(drop=n, validator=validator) for n in (150_000, 70_000, 0)]
    server.answers, server.usual = drops, Answer(validator=validator)
    toy.finishes(tmp_path / "toy")
    began = ranges(server)
    assert len(began) == 4 and began[0] == 0
    if checksum or validator:
        # at most one chunk of each connection is lost
        assert 150_000 - http.CHUNK <= began[1] <= 150_000 < began[2] and began[3] == began[2]
    else:
        # nothing would tell if the rest were of another file
        assert began == [0, 0, 0, 0]


def test_server_without_ranges(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    server.answers = [Answer(drop=150_000, ranges=False)]
    server.usual = Answer(ranges=False)
    toy.finishes(tmp_path / "toy")
    assert [status for *_, status in server.requests] == [200, 200]


def test_chunked_without_a_length(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    toy.change(checksum=None, bytes=None)
    server.answers = [Answer(chunked=True, ranges=False, drop=100_000)]
    server.usual = Answer(chunked=True, ranges=False)
    toy.finishes(tmp_path / "toy")
    assert len(server.requests) == 2


@pytest.mark.parametrize(("validator", "if_range"), [(True, True), (True, False), (False, True)])
def test_file_that_changes_between_two_requests(
    validator: bool, if_range: bool, toy: Toy, server: FaultServer, tmp_path: Path
) -> None:
    toy.change(checksum=None, bytes=None)
    server.usual = Answer(if_range=if_range)
    other = zipped({name: content[::-1] for name, content in FILES.items()})
    server.answers = [Answer(drop=150_000, content=other, validator=validator)]
    toy.finishes(tmp_path / "toy")


def test_file_that_changes_its_size_though_nothing_says_so(
    toy: Toy, server: FaultServer, tmp_path: Path
) -> None:
    server.answers = [Answer(drop=150_000, content=TOY, validator=False)]
    server.answers += [Answer(content=TOY + b"more", validator=False)]
    toy.finishes(tmp_path / "toy")


def test_range_that_was_not_asked_for(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    size = len(TOY)
    for wrong in (f"bytes 0-{size - 1}/{size}", "bytes", f"bytes 150000-{size}/{size + 1}"):
        shutil.rmtree(tmp_path / "toy", ignore_errors=True)
        server.answers = [Answer(drop=150_000), Answer(headers={"Content-Range": wrong})]
        toy.finishes(tmp_path / "toy")


def test_server_that_falls_silent(
    toy: Toy, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TIMEOUT", (15, 0.3))
    server.answers = [Answer(hold=150_000)]
    toy.finishes(tmp_path / "toy")
    assert ranges(server)[1] > 0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_for_a_while(status: int, toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    server.answers = [Answer(status=status, headers={"Retry-After": "0"})] * 2 + [Answer(drop=90_000)]
    toy.finishes(tmp_path / "toy")
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
    answer: Answer, words: list[str], toy: Toy, server: FaultServer, tmp_path: Path
) -> None:
    server.usual = answer
    said = toy.refused(tmp_path / "toy")
    assert server.address in said
    assert [word for word in words if word not in said] == [], said
    assert len(server.requests) <= 1 + 2 * http.ATTEMPTS
    if answer.status:
        assert list(tmp_path.iterdir()) == []  # nothing came, nothing is left
    server.usual = HONEST
    toy.finishes(tmp_path / "toy")


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
    answer: Answer, words: list[str], toy: Toy, server: FaultServer, tmp_path: Path
) -> None:
    toy.change(checksum=None, bytes=None)
    server.usual = answer
    said = toy.refused(tmp_path / "toy")
    assert [word for word in words if word not in said] == [], said
    server.usual = HONEST
    toy.finishes(tmp_path / "toy")


def test_nobody_listens(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    with serving({}) as gone:
        address = gone.address
    toy.change(address=f"{address}/{NAME}")
    said = toy.refused(tmp_path / "toy")
    assert address in said and "refused" in said
    toy.change(address=f"{server.address}/{NAME}")
    toy.finishes(tmp_path / "toy")


def test_bytes_of_unknown_origin_are_not_continued(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    """Another mirror, or a `.part` that nothing vouches for."""
    toy.change(checksum=None, bytes=None)
    part = tmp_path / "toy" / present.UNFINISHED / f"{NAME}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"PK but nothing else")
    toy.finishes(tmp_path / "toy")
    assert ranges(server) == [0]
