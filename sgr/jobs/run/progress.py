"""Show how waiting goes: one line that is rewritten on a terminal, and a line now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Writes the newest line to stderr; call it as often as you like."""

    def __init__(self, every_seconds: float = 60) -> None:
        self._terminal = sys.stderr.isatty()
        self._every, self._last, self._shown = every_seconds, "", -float("inf")

    def __call__(self, line: str) -> None:
        """Show `line` if it is new; away from a terminal at most once in `every_seconds`."""
        due = self._terminal or time.monotonic() - self._shown >= self._every
        if line == self._last or not due:
            return
        self._last, self._shown = line, time.monotonic()
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{line[:width]}" if self._terminal else f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave a terminal's line, so that what follows starts on a new one."""
        if self._terminal and self._last:
            sys.stderr.write("\n")
            sys.stderr.flush()


@contextmanager
def progress() -> Iterator[Progress]:
    """A Progress that ends with the block."""
    shown = Progress()
    try:
        yield shown
    finally:
        shown.end()
