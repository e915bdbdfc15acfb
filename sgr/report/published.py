"""The paper's own numbers, from the CSV files in paper/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

PAPER = Path(__file__).parent / "paper"


def load(table: str) -> pd.DataFrame:
    """`table1` ... `table4`: names as text ('' when empty), numbers as float (NaN for the paper's dash)."""
    import pandas as pd

    frame = pd.read_csv(PAPER / f"{table}.csv")
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].fillna("")
    return frame


def splits() -> dict[str, str]:
    """The split that the paper evaluates each dataset on: cityscapes val, ade20k val, cocostuff10k test."""
    frame = load("table1")
    return dict(zip(frame["dataset"], frame["split"], strict=True))
