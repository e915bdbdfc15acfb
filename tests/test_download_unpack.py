"""Hostile and damaged archives: refused in a sentence, and nothing of them is left."""

from __future__ import annotations

import io
import shutil
import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from sgr.download.unpack import unpack
from sgr.errors import UserError
from tests.toy_dataset import NAME, held, zipped


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
