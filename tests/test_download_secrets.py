"""Passwords and tokens in a mirror's address open its doors, and are neither printed nor written by anything."""

from __future__ import annotations

import ipaddress
import re
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sgr.download import http, present
from sgr.download.address import below, printable
from sgr.errors import UserError
from sgr.machine import settings
from tests.fault_server import Answer, FaultServer, serving
from tests.test_download_stage import ARCHIVE, camvid_archive, plan, project, start
from tests.toy_dataset import FILES, NAME, TOY, Toy, held, server, toy

__all__ = ["project", "server", "toy"]  # fixtures

USER, PASSWORD, TOKEN = "somebody", "s3cret/@", "t0ken"
HIDDEN = re.compile(rb"somebody|s3cret|t0ken|c29tZWJvZHk")  # the last as basic authentication writes it


def secret(address: str, scheme: str = "http") -> str:
    """The mirror of a server with all its secrets."""
    host = address.removeprefix(f"{scheme}://")
    return f"{scheme}://{USER}:s3cret%2F%40@{host}/?sig={TOKEN}"


def clean(*texts: str, below: Path | None = None) -> None:
    """No text and no file has a secret."""
    for text in texts:
        assert not HIDDEN.search(text.encode()), text
    for path in below.rglob("*") if below else ():
        assert not HIDDEN.search(path.name.encode())
        assert not path.is_file() or not HIDDEN.search(path.read_bytes()), path


def test_stage(project: Path) -> None:
    """Killed in the middle, refused, left alone by its server, and then whole."""
    plan(project, subset=2)
    content = camvid_archive()
    with serving({f"{ARCHIVE}?sig={TOKEN}": content}) as server:
        server.login = f"{USER}:{PASSWORD}"
        mirror = secret(server.address)
        server.answers = [Answer(hold=len(content) // 2)]
        part = project / "data/camvid" / present.UNFINISHED / f"{ARCHIVE}.part"
        killed = start(project, SGR_MIRROR=mirror)
        while not (part.exists() and part.stat().st_size):
            assert killed.poll() is None
            time.sleep(0.02)
        killed.kill()
        clean(*killed.communicate(), below=project)
        assert server.address in part.with_name(f"{ARCHIVE}.part.json").read_text()

        server.answers = [Answer(status=403)]
        refused = start(project, SGR_MIRROR=mirror)
        out, err = refused.communicate()
        assert refused.returncode == 2 and f"{server.address}/{ARCHIVE}: the server answers 403" in err
        clean(out, err, below=project)

        (project / "cluster.yaml").write_text(f"mirror: {mirror}\n")
        whole = start(project)
        out, err = whole.communicate()
        assert whole.returncode == 0, err
        assert f"{ARCHIVE}: from {server.address}/{ARCHIVE} into" in out
        (project / "cluster.yaml").unlink()
        clean(out, err, below=project)
        assert server.requests[-1][2] == 206


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(status=404), "404"),
        (Answer(status=500), "500"),
        (Answer(drop=0), "without getting any further"),
        (Answer(extra=9), "announces"),
        (Answer(content=bytes(len(TOY))), "get http://127"),
        (
            Answer(status=302, headers={"Location": "ftp://somebody:s3cret@127.0.0.1/x?t0ken"}),
            "InvalidSchema",
        ),
        (Answer(status=302, headers={"Location": "http://somebody:s3cret@:x/?t0ken"}), "InvalidURL"),
        (Answer(status=302, headers={"Location": f"/{NAME}?sig=t0ken"}), "redirects"),
    ],
)
def test_errors(answer: Answer, words: str, toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    server.usual = answer
    with pytest.raises(UserError) as error:
        toy.fetch(tmp_path / "toy", secret(server.address))
    assert words in str(error.value) and f"{server.address}/{NAME}" in str(error.value)
    clean("".join(traceback.format_exception(error.value)), below=tmp_path)


def test_wrong_password(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    server.login = "somebody:another"
    with pytest.raises(UserError, match="401 Unauthorized") as error:
        toy.fetch(tmp_path / "toy", secret(server.address))
    clean(str(error.value), below=tmp_path)


def test_nobody_listens(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSE", 0.001)
    with serving({}) as gone:
        address = gone.address
    with pytest.raises(UserError, match="refused") as error:
        toy.fetch(tmp_path / "toy", secret(address))
    clean(str(error.value), below=tmp_path)


def test_new_token_continues(toy: Toy, server: FaultServer, tmp_path: Path) -> None:
    """It is the same file."""
    server.usual = Answer(drop=100_000, ranges=False)
    with pytest.raises(UserError, match="later"):
        toy.fetch(tmp_path / "toy", f"{server.address}/?sig=old")
    server.usual = Answer()
    toy.fetch(tmp_path / "toy", f"{server.address}/?sig=new")
    assert held(tmp_path / "toy") == FILES and server.requests[-1][2] == 206


@pytest.mark.parametrize(
    "mirror",
    [
        "https://somebody:s3/cret@host/x",
        "https://somebody:12/3s3cret@host/x",
        "https://somebody:s3?cret@host/x",
        "https://somebody:s3#cret@host/x",
        "https://somebody:12#3s3cret@host/x",
        "https://[somebody:s3cret@host/x",
        "https:///somebody:s3cret",
        "ftp://somebody:s3cret@host/x",
        "somebody:s3cret@host/x",
        "/nowhere/somebody:s3cret",
    ],
)
def test_mirror_that_is_none(mirror: str, toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="SGR_MIRROR") as error:
        toy.fetch(tmp_path / "toy", mirror)
    clean(str(error.value), printable(mirror) if "://" in mirror else "", below=tmp_path)


def test_addresses() -> None:
    mirror = "https://somebody:s3cret%40@host:8443/a/b/?sig=t0ken&x=1"
    assert below(mirror, "c.zip") == "https://somebody:s3cret%40@host:8443/a/b/c.zip?sig=t0ken&x=1"
    assert printable(mirror) == "https://host:8443/a/b/"
    assert printable("https://host/a@b.zip") == "an address that cannot be read"
    assert below("https://host", "c.zip") == "https://host/c.zip"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mirror: [https://somebody:s3cret@host]", "`mirror`: Input should be a valid string"),
        ("mirror: https://somebody:s3cret: @host", "line 1: mapping values are not allowed here"),
        ("jobs: x\nmirror: 'https://somebody:s3cret@host", "found unexpected end of stream"),
        (
            "mirror: https://somebody:s3cret@host\nmirror: https://t0ken",
            'line 2: "mirror" stands there twice',
        ),
        ("mirrors: https://somebody:s3cret@host", "unknown key `mirrors`"),
    ],
)
def test_cluster_yaml(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(text)
    with pytest.raises(UserError, match=r"cluster\.yaml") as error:
        settings(tmp_path)
    assert words in str(error.value)
    clean(str(error.value))
    (tmp_path / "cluster.yaml").write_text("mirror: https://somebody:s3cret@host")
    clean(repr(settings(tmp_path)))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of this machine, signed by itself, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    own = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    path.write_bytes(
        own.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@pytest.fixture
def encrypted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serving({NAME: TOY, "other.zip": TOY}, certificate) as running:
        yield running


def test_redirect_that_gives_up_encryption(
    toy: Toy, server: FaultServer, encrypted: FaultServer, tmp_path: Path
) -> None:
    """The plain server is not even asked; from HTTPS to HTTPS a redirect is followed."""
    mirror = secret(encrypted.address, "https")
    encrypted.answers = [Answer(status=302, headers={"Location": f"{server.address}/{NAME}?sig={TOKEN}"})]
    with pytest.raises(UserError) as error:
        toy.fetch(tmp_path / "toy", mirror)
    assert str(error.value).startswith(
        f"{encrypted.address}/{NAME} leads to {server.address}/{NAME}, which is not encrypted: "
    )
    assert not server.requests
    clean(str(error.value), below=tmp_path)
    encrypted.answers = [Answer(status=302, headers={"Location": "/other.zip"})]
    toy.fetch(tmp_path / "toy", mirror)
    assert held(tmp_path / "toy") == FILES and not server.requests
