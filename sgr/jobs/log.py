"""The end of a log."""

from __future__ import annotations

from pathlib import Path


def last_line(log: Path, tail_bytes: int = 4096) -> str:
    """The last line of a log that says anything, progress bars' carriage returns counted as line ends."""
    lines = tail(log, tail_bytes)
    return lines[-1] if lines else ""


def tail(log: Path, tail_bytes: int = 4096) -> list[str]:
    """The last non-empty lines of a file; none if it is not there."""
    if not log.exists():
        return []
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, 2) - tail_bytes))
        text = file.read().decode("utf-8", "replace")
    return [line.rstrip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
