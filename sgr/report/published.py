"""The paper's own numbers, from the CSV files in paper/, and the place of our own rows among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .names import order

if TYPE_CHECKING:
    import pandas as pd

Line = dict[str, Any]
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


def lines(paper: pd.DataFrame, ours: Mapping[str, str]) -> list[Line]:
    """The lines of a table: the paper's, and one without numbers for each row of `ours` that it does not have.

    Args:
        paper: of `load`, a line a row.
        ours: row -> dataset; rows of datasets that the paper's table does not have are left out.

    Returns:
        Lines with the columns of `paper` and `in_paper`; datasets in the paper's order, rows in `names.order`.
    """
    found: list[Line] = [
        {**{str(key): value for key, value in line.items()}, "in_paper": True}
        for line in paper.to_dict("records")
    ]
    known, datasets = {line["row"] for line in found}, list(dict.fromkeys(paper["dataset"]))
    empty = {key: "" if isinstance(value, str) else math.nan for key, value in found[0].items()}
    found += [
        {**empty, "row": row, "dataset": dataset, "in_paper": False}
        for row, dataset in ours.items()
        if row not in known and dataset in datasets
    ]
    return sorted(found, key=lambda line: (datasets.index(line["dataset"]), order(line["row"])))
