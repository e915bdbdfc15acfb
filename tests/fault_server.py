"""An HTTP server on this machine with files, byte ranges, and the faults that real servers have."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """How one request is answered; the default is an honest server.

    status: an error instead of the file. drop: close the connection after so many bytes of the body. hold: after
    these bytes, keep it open and send no more. extra: bytes by which Content-Length is wrong. chunked: no
    Content-Length. ranges, if_range: whether these headers are heard. validator: whether the answer has an ETag.
    content: this file instead.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: int | None = None
    hold: int | None = None
    extra: int = 0
    chunked: bool = False
    ranges: bool = True
    if_range: bool = True
    validator: bool = True
    content: bytes | None = None


HONEST = Answer()


class FaultServer(ThreadingHTTPServer):
    """Serves `files` by name. `answers` are used up one a request, then every request gets `usual`.

    certificate: a file with a certificate of 127.0.0.1 and its key, for HTTPS. login: `user:password` that it wants.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket, self.scheme = context.wrap_socket(self.socket, server_side=True), "https"
        self.files = files
        self.login: str | None = None
        self.answers: list[Answer] = []
        self.usual = HONEST
        self.requests: list[tuple[str, str | None, int]] = []  # name, Range, status
        self.sent = 0  # bytes of bodies
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: FaultServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server, name = self.server, self.path.lstrip("/")
        if name not in server.files:
            name = name.partition("?")[0]
        answer = server.answers.pop(0) if server.answers else server.usual
        asked = self.headers.get("Range")
        content = server.files.get(name) if answer.content is None else answer.content
        status = answer.status or (200 if content is not None else 404)
        if server.login and self.headers.get("Authorization") != f"Basic {_base64(server.login)}":
            status = 401
        body, headers = b"", {}
        if status == 200:
            assert content is not None
            etag = f'"{hashlib.md5(content).hexdigest()}"'
            body = content
            if answer.validator:
                headers["ETag"] = etag
            match = re.fullmatch(r"bytes=(\d+)-", asked or "")
            if (
                match
                and answer.ranges
                and (self.headers.get("If-Range", etag) == etag or not answer.if_range)
            ):
                start = int(match[1])
                if start < len(content):
                    status, body = 206, content[start:]
                    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                else:
                    status, body = 416, b""
                    headers["Content-Range"] = f"bytes */{len(content)}"
        server.requests.append((name, asked, status))
        self.send_response(status)
        for key, value in {**headers, **answer.headers}.items():
            self.send_header(key, value)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body) + answer.extra))
        self.end_headers()
        self._send(body, answer)

    def _send(self, body: bytes, answer: Answer) -> None:
        stop = answer.drop if answer.drop is not None else answer.hold
        shown = body[: len(body) + answer.extra][:stop]
        try:
            for start in range(0, len(shown), 4096):
                piece = shown[start : start + 4096]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if answer.chunked else piece)
                self.server.sent += len(piece)
            if answer.hold is not None:
                self.wfile.flush()
                self.server.closing.wait()
            if answer.chunked and answer.drop is None:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass
        # a body that is not what was announced ends the connection
        self.close_connection = bool(answer.extra or stop is not None)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@contextmanager
def serving(files: dict[str, bytes], certificate: Path | None = None) -> Iterator[FaultServer]:
    """A running server; it is gone when the block ends."""
    server = FaultServer(files, certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
