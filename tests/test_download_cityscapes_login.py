"""Cityscapes behind its login: the user's credentials through cityscapesscripts, whose site is a server here."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import pytest

from sgr.datasets import describe
from sgr.download import cityscapes_login as cityscapes
from sgr.download import http, present
from sgr.errors import UserError
from tests.fault_server import Answer, FaultServer, serving
from tests.toy_dataset import held, zipped

FILES = {
    "leftImg8bit_trainvaltest.zip": {"leftImg8bit/train/ulm/0_leftImg8bit.png": b"image" * 40_000},
    "gtFine_trainvaltest.zip": {"gtFine/train/ulm/0_gtFine_labelIds.png": b"label"},
}
WHOLE = {name: zipped(files | {"README": b"Cityscapes"}) for name, files in FILES.items()}

# What of cityscapesscripts is used, with its names, arguments and manners.
DOWNLOADER = """
import requests

SITE = {site!r}
FILE = {file!r}


def login():
    session = requests.Session()
    answer = session.get(SITE + "/login")
    answer.raise_for_status()
    if answer.text != "welcome":
        import os
        os.remove(FILE)
        raise Exception("Bad credentials.")
    return session


def get_available_packages(*, session):
    answer = session.get(SITE + "/downloads/?list")
    answer.raise_for_status()
    return answer.json()
"""


ARCHIVES = [
    archive._replace(checksum=f"md5:{md5(WHOLE[archive.name]).hexdigest()}", unpacked=0.001)
    for archive in describe("cityscapes").archives
]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """The site, the package, and stored credentials."""
    packages = [{"name": name, "packageID": name, "size": "1KB"} for name in WHOLE]
    files = {"login": b"welcome", "downloads/": json.dumps(packages).encode()}
    credentials = tmp_path / "share" / "cityscapesscripts" / "credentials.json"
    credentials.parent.mkdir(parents=True)
    credentials.write_text("{}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr(http, "PAUSE", 0.001)
    with serving(files) as server:
        # the site tells archives apart by their number, after the question mark
        server.files.update({f"file-handling/?packageID={name}": whole for name, whole in WHOLE.items()})
        package = tmp_path / "packages" / "cityscapesscripts" / "download"
        package.mkdir(parents=True)
        (package / "downloader.py").write_text(DOWNLOADER.format(site=server.address, file=str(credentials)))
        for folder in (package, package.parent):
            (folder / "__init__.py").touch()
        monkeypatch.syspath_prepend(package.parents[1])
        for name in (
            "cityscapesscripts",
            "cityscapesscripts.download",
            "cityscapesscripts.download.downloader",
        ):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(cityscapes, "SITE", server.address)
        yield server


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        present.make_present("cityscapes", ARCHIVES, folder)
    assert not (folder / "leftImg8bit").exists()
    return str(error.value)


def finishes(folder: Path) -> None:
    present.make_present("cityscapes", ARCHIVES, folder)
    expected = {"README": b"Cityscapes"} | {
        name: data for files in FILES.values() for name, data in files.items()
    }
    assert held(folder) == expected
    assert sorted(path.name for path in folder.iterdir()) == ["README", "gtFine", "leftImg8bit"]


def test_with_credentials(site: FaultServer, tmp_path: Path) -> None:
    """Both archives, one of them after a break, and their common README once."""
    folder = tmp_path / "cityscapes"
    site.answers = [Answer(), Answer(), Answer(drop=150_000)]
    credentials = tmp_path / "share/cityscapesscripts/credentials.json"
    credentials.chmod(0o644)
    finishes(folder)
    assert credentials.stat().st_mode & 0o777 == 0o600
    assert [status for *_, status in site.requests].count(206) == 1


def test_refused_credentials(site: FaultServer, tmp_path: Path) -> None:
    site.files["login"] = b"wrong"
    said = refused(tmp_path / "cityscapes")
    assert "does not accept the credentials of" in said and "csDownload -l" in said
    # the package has removed them
    said = refused(tmp_path / "cityscapes")
    assert "register" in said and "credentials.json" in said and str(tmp_path / "cityscapes") in said
    site.files["login"] = b"welcome"
    (tmp_path / "share/cityscapesscripts/credentials.json").write_text("{}")
    finishes(tmp_path / "cityscapes")


def test_site_out_of_order(site: FaultServer, tmp_path: Path) -> None:
    site.usual = Answer(status=500)
    assert "out of order" in refused(tmp_path / "cityscapes")
    site.usual = Answer(content=b"<html>")
    site.answers = [Answer()]
    assert "does not list its archives" in refused(tmp_path / "cityscapes")
    site.usual = Answer(content=b"[]")
    site.answers = [Answer()]
    assert "offers your account no leftImg8bit_trainvaltest.zip" in refused(tmp_path / "cityscapes")
    site.usual = Answer()
    finishes(tmp_path / "cityscapes")


def test_package_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for an obsolete `typing`, and is no requirement."""
    monkeypatch.setattr(cityscapes, "PACKAGE", "nosuchpackage")
    said = refused(tmp_path / "cityscapes")
    assert "pip install --no-deps cityscapesscripts" in said and str(tmp_path / "cityscapes") in said


def test_archives_of_the_user_need_neither(
    site: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cityscapes, "PACKAGE", "nosuchpackage")
    folder = tmp_path / "cityscapes"
    folder.mkdir()
    for name, whole in WHOLE.items():
        (folder / name).write_bytes(whole)
    present.make_present("cityscapes", ARCHIVES, folder)
    assert site.requests == [] and set(WHOLE) <= held(folder).keys()
    for name in WHOLE:
        (folder / name).unlink()
    finishes(folder)
