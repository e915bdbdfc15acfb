"""Markdown of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from .layout import Grid

DASH = "—"

Column = tuple[str, Callable[[dict[str, Any]], str]]


def text(key: str) -> Callable[[dict[str, Any]], str]:
    """A cell of plain text, a dash when empty."""
    return lambda row: DASH if _missing(row[key]) else str(row[key])


def number(
    key: str, decimals: int, std: str | None = None, mark: str | None = None, best: float | None = None
) -> Callable[[dict[str, Any]], str]:
    """A cell with a number, a dash when it is missing.

    It is `mean±std` when the column `std` has one, bold when it is `best`, and what the column `mark` has follows.
    """

    def cell(row: dict[str, Any]) -> str:
        if _missing(row[key]):
            return DASH
        # Adding zero turns the -0.0 of a tiny negative number into 0.0.
        shown = f"{round(float(row[key]), decimals) + 0.0:.{decimals}f}"
        if std is not None and not _missing(row[std]):
            shown += f"±{float(row[std]):.{decimals}f}"
        if best is not None and round(float(row[key]), decimals) == round(best, decimals):
            shown = f"**{shown}**"
        return f"{shown}{row[mark]}" if mark and not _missing(row[mark]) else shown

    return cell


def render(frame: pd.DataFrame, columns: Sequence[Column]) -> str:
    """A pipe table with one line a row of the frame."""
    rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    return pipe([name for name, _ in columns], [[cell(row) for _, cell in columns] for row in rows])


def pipe(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A pipe table of these cells."""
    import pandas as pd

    # disable_numparse: else 38.80 would be printed as 38.8
    return pd.DataFrame(rows, columns=list(header)).to_markdown(index=False, disable_numparse=True)


def parts_of(grid: Grid) -> list[str]:
    """Heading, text, pipe table and the sentences below it."""
    header = [" ".join(filter(None, column)) for column in grid.columns]
    heading = [f"## {grid.heading}"] if grid.heading else []
    return [*heading, *([grid.text] if grid.text else []), pipe(header, grid.rows), *grid.below]


def _missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value == "" or bool(pd.isna(value))
