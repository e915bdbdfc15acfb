"""One file over HTTP: resumed where it stopped, tried again when the connection drops, refused in one sentence."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException, Timeout
from tqdm import tqdm
from urllib3.util.retry import Retry

from sgr.download.address import printable
from sgr.download.space import need
from sgr.errors import UserError
from sgr.files import read_json, write_json

ATTEMPTS = 5  # to get any further, before the user hears of it
PAUSE = 1.0  # seconds before the second attempt, doubled before each one more
LONGEST_PAUSE = 60  # seconds; a server that asks for more patience is left alone
TIMEOUT = (15, 60)  # seconds to connect, and to the next byte
CHUNK = 1 << 16  # bytes; what a broken connection loses at most
BUSY = (408, 429, 500, 502, 503, 504)  # statuses that may pass


def patient(session: requests.Session | None = None) -> requests.Session:
    """A session that repeats refused connections and requests to a busy server, with growing pauses."""
    session = session or requests.Session()
    retry = Retry(
        ATTEMPTS,
        backoff_factor=PAUSE,
        backoff_max=LONGEST_PAUSE,
        retry_after_max=LONGEST_PAUSE,
        status_forcelist=BUSY,
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    session.hooks["response"] = [_stay_encrypted]
    return session


def _stay_encrypted(response: requests.Response, **_: Any) -> None:
    """Raise UserError for a redirect from HTTPS to HTTP, before it is followed."""
    following = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and response.url.startswith("https:") and following.startswith("http:"):
        raise UserError(
            f"{printable(response.url)} leads to {printable(following)}, which is not encrypted: get the file in "
            "another way and put it into the dataset's folder, or set SGR_MIRROR to a place that has it"
        )


def fetch(
    address: str,
    part: Path,
    session: requests.Session,
    size: int | None = None,
    has_checksum: bool = False,
) -> None:
    """Make `part` the whole file at an address, from where an earlier call with the same `part` was interrupted.

    Beside it, `<part>.json` says of which file the bytes are, without the secrets of its address. They are only
    continued if the server says that its file is still that one, by its ETag or date; where it gives neither, if the
    caller is to verify a checksum.

    Args:
        size: bytes that the file is known to have.

    Raises:
        UserError: the server refuses, cannot be reached, has a file of another size, or drops every connection;
            or the disk lacks the space. What came so far stays for the next call.
    """
    best, failures = -1, 0
    while True:
        try:
            return _transfer(address, part, session, size, has_checksum)
        except _Interrupted as error:
            reached = _length(part)
            failures = failures + 1 if reached <= best else 0
            best = max(best, reached)
            if failures == ATTEMPTS:
                raise UserError(
                    f"{printable(address)}: {error} at byte {reached}, {ATTEMPTS} times without getting any further: "
                    "what is there is kept, run the command again later"
                ) from None
            time.sleep(min(PAUSE * 2**failures, LONGEST_PAUSE))


class _Interrupted(Exception):
    """The body ended early, or belongs to another file: worth another request."""


def _transfer(
    address: str, part: Path, session: requests.Session, size: int | None, has_checksum: bool
) -> None:
    note = part.with_name(part.name + ".json")
    origin = read_json(note) if note.exists() else {}
    same = origin.get("address") == printable(address) and (origin["validator"] or has_checksum)
    have = _length(part) if same else 0
    expected = size or (origin["total"] if have else None)
    if have and have == expected:
        return
    headers = {"Accept-Encoding": "identity"}  # what travels compressed cannot be continued
    if have:
        headers["Range"] = f"bytes={have}-"
        if origin["validator"]:
            headers["If-Range"] = origin["validator"]
    with _get(session, address, headers) as response:
        range_is = response.headers.get("Content-Range", "")
        if response.status_code == 200:
            have, total = 0, _number(response.headers.get("Content-Length"))
        elif response.status_code == 416 and range_is == f"bytes */{have}" and expected is None:
            return  # nothing comes after the bytes that are here
        else:
            match = re.fullmatch(rf"bytes {have}-\d+/(\d+|\*)", range_is)
            total = _number(match[1]) if match else None
            # not every server that has heard of Range has heard of If-Range
            other = origin["validator"] and _validator(response) not in (None, origin["validator"])
            if not match or other or (expected and total not in (None, expected)):
                part.unlink()
                raise _Interrupted("the server's file changed")
        if size and total not in (None, size):
            raise UserError(
                f"{printable(address)}: the server announces {total} bytes, but the published file has {size}: set "
                "SGR_MIRROR to a place that has the published one"
            )
        if total is not None:
            need(total - have, part.parent, part.name.removesuffix(".part"))
        if not have:
            part.unlink(missing_ok=True)
            write_json(
                note, {"address": printable(address), "validator": _validator(response), "total": total}
            )
        _append(response, part, have, total)
    if total is not None and _length(part) < total:
        raise _Interrupted("the connection broke")


def _get(session: requests.Session, address: str, headers: dict[str, str]) -> requests.Response:
    """A response with status 200, or 206 or 416 where a range was asked for. Raises UserError."""
    shown = printable(address)
    try:
        response = session.get(address, headers=headers, stream=True, timeout=TIMEOUT)
    except Timeout:
        raise UserError(f"{shown}: the server does not answer, run the command again later") from None
    except RequestException as error:
        raise UserError(
            f"{shown} cannot be reached ({_reason(error)}): run the command again on a machine with a network, or "
            "set SGR_MIRROR to a place that has the file"
        ) from None
    if response.status_code == 200 or (response.status_code in (206, 416) and "Range" in headers):
        return response
    response.close()
    what = f"{shown}: the server answers {response.status_code} {response.reason}"
    if response.status_code in BUSY:
        raise UserError(f"{what}, {ATTEMPTS} times and more: run the command again later")
    raise UserError(
        f"{what}: get the file in another way and put it into the dataset's folder, or set SGR_MIRROR to a place "
        "that has it"
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _validator(response: requests.Response) -> str | None:
    """What tells this file from a later one at the same address: a strong ETag, or the date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _append(response: requests.Response, part: Path, have: int, total: int | None) -> None:
    with (
        open(part, "ab") as file,
        tqdm(
            desc=part.name.removesuffix(".part"),
            initial=have,
            total=total,
            unit="B",
            unit_scale=True,
            disable=None,
        ) as bar,
    ):
        for chunk in _chunks(response):
            file.write(chunk)
            bar.update(len(chunk))


def _chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(CHUNK)
    except RequestException:
        raise _Interrupted("the connection broke") from None


def _reason(error: BaseException) -> str:
    """The innermost cause that the libraries have wrapped, in one line."""
    if isinstance(error, ValueError):
        return type(error).__name__  # their text holds the address
    inner = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    if isinstance(inner, BaseException):
        return _reason(inner)
    return " ".join(str(error).split()).rsplit(": ", 1)[-1]
