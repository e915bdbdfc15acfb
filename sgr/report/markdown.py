"""Markdown of a table: its cells and columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

DASH = "—"

Column = tuple[str, Callable[[dict[str, Any]], str]]


def text(key: str) -> Callable[[dict[str, Any]], str]:
    """A cell of plain text, a dash when empty."""
    return lambda row: DASH if _missing(row[key]) else str(row[key])


def number(
    key: str, decimals: int, std: str | None = None, signed: bool = False, mark: str | None = None
) -> Callable[[dict[str, Any]], str]:
    """A cell with a number, a dash when it is missing.

    It is `mean ± std` when the column `std` has one, and what the column `mark` has follows.
    """

    def cell(row: dict[str, Any]) -> str:
        if _missing(row[key]):
            return DASH
        # Adding zero turns the -0.0 of a tiny negative number into 0.0.
        value = round(float(row[key]), decimals) + 0.0
        shown = f"{value:{'+' if signed else ''}.{decimals}f}"
        if std is not None and not _missing(row[std]):
            shown += f" ± {float(row[std]):.{decimals}f}"
        return f"{shown} {row[mark]}" if mark and not _missing(row[mark]) else shown

    return cell


def count(key: str) -> Callable[[dict[str, Any]], str]:
    """A cell with a number of parameters in millions."""
    return lambda row: DASH if _missing(row[key]) else f"{int(row[key]) / 1e6:.2f} M"


def measured(
    measure: str, title: str, decimals: int, paper_decimals: int, compared: bool = True
) -> list[Column]:
    """paper | ours | difference of one measure; the arrow in `title` says which way is better.

    compared: False leaves the difference out.
    """
    difference = (f"{title} difference", number(f"{measure}_difference", decimals, signed=True))
    return [
        (f"{title} paper", number(f"{measure}_paper", paper_decimals)),
        (f"{title} ours", number(f"{measure}_ours", decimals, f"{measure}_std", mark=f"{measure}_mark")),
        *([difference] if compared else []),
    ]


def gained(measure: str, title: str, decimals: int, paper_decimals: int) -> list[Column]:
    """gain paper | gain ours of one measure."""
    return [
        (f"{title} gain paper", number(f"{measure}_gain_paper", paper_decimals, signed=True)),
        (f"{title} gain ours", number(f"{measure}_gain_ours", decimals, f"{measure}_gain_std", signed=True)),
    ]


def render(frame: pd.DataFrame, columns: Sequence[Column]) -> str:
    """A pipe table with one line a row of the frame."""
    import pandas as pd

    rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    cells = pd.DataFrame(
        [[cell(row) for _, cell in columns] for row in rows], columns=[name for name, _ in columns]
    )
    # disable_numparse: tabulate would print 38.80 as 38.8.
    return cells.to_markdown(index=False, disable_numparse=True)


def _missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value == "" or bool(pd.isna(value))
