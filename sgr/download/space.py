"""Free disk space, looked at before it is needed."""

from __future__ import annotations

import shutil
from pathlib import Path

from sgr.errors import UserError


def need(amount: int, folder: Path, what: str) -> None:
    """Raise UserError unless `amount` bytes are free on the disk of an existing folder."""
    free = shutil.disk_usage(folder).free
    if free < amount:
        raise UserError(
            f"{what} needs {_readable(amount)} in {folder}, but {_readable(free)} are free: make room, or set "
            "SGR_DATA to a folder on a larger disk"
        )


def _readable(amount: int) -> str:
    return f"{amount / 1e9:.1f} GB" if amount >= 1e8 else f"{amount / 1e6:.1f} MB"
