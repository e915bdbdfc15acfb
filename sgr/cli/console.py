"""What the commands print: tables and short paths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

COLOURS = {"running": "green", "pending": "yellow", "failed": "red", "lost": "red", "damaged": "red"}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print a table as wide as its cells, coloured on a terminal; the columns `right` are numbers."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        made.add_column(name, no_wrap=True, justify="right" if name in right else "left")
    for row in rows:
        made.add_row(*(Text(cell, style=COLOURS.get(cell.split(" ")[0], "")) for cell in row))
    # a path that is cut or folded cannot be copied: a narrow terminal wraps its lines by itself
    Console(width=1000, highlight=False, soft_wrap=True).print(made, soft_wrap=True)


def relative(path: Path | None) -> str:
    """A path seen from the current folder where it is below it; nothing for None."""
    if path is None:
        return ""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
