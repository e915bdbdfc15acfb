"""Addresses of files: how one is made, and as much of it as may be seen, for it can hold a password or a token."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit, urlunsplit

from sgr.errors import UserError


def below(mirror: str, name: str) -> str:
    """The address of a file in a mirror's folder; what follows the mirror's ? stays at the end. Raises UserError."""
    parts = _parts(mirror)
    if parts is None:
        # it may hold a secret, in whatever place
        raise UserError(
            "the mirror that SGR_MIRROR, or mirror in cluster.yaml, names is no address of the form "
            "https://user:password@host/folder: write a special character as %XX, @ as %40 for instance"
        )
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def printable(address: str) -> str:
    """An address without user, password and what follows the ?: sentences, logs and files show no more of any."""
    parts = _parts(address)
    if parts is None:
        return "an address that cannot be read"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _parts(address: str) -> SplitResult | None:
    """None where it cannot be told what is a password: one with / ends the host's name too early."""
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if valid and ("@" in parts.netloc or "@" not in address) else None
