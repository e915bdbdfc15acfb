"""The columns that say which network a line of a table is about."""

from __future__ import annotations

from typing import Any

from .markdown import DASH, Column, count, text
from .names import backbone as in_words
from .names import method
from .results import Result

OURS = "not in the paper's table"
MISSING = "not yet trained by this project"


def about(
    row: str, dataset: str, split: str, backbone: str, network: Result | None, seeds: int
) -> dict[str, Any]:
    """First columns of the CSV file.

    Args:
        row, dataset, split: what was trained, and where it is measured.
        backbone: the paper's, as params.yaml calls it; empty for a row that the paper does not have.
        network: the row's result, None when it has not been trained.
        seeds: how many seeds the numbers are from.
    """
    return {
        "row": row,
        "dataset": dataset,
        "split": split,
        "method": method(row),
        "backbone_paper": backbone,
        "backbone_ours": network.backbone if network else "",
        "parameters": network.parameters if network else None,
        "seeds": seeds,
    }


def columns() -> list[Column]:
    """The same in Markdown."""
    return [
        ("method", text("method")),
        ("backbone paper", lambda row: in_words(text("backbone_paper")(row))),
        ("backbone ours", lambda row: in_words(text("backbone_ours")(row))),
        ("parameters", count("parameters")),
        ("seeds n", lambda row: str(row["seeds"]) if row["seeds"] else DASH),
    ]


def remark(in_paper: bool, trained: bool) -> str:
    """Why a line has no numbers of the paper, or none of ours; empty when it has both."""
    return "; ".join(([] if in_paper else [OURS]) + ([] if trained else [MISSING]))


def note() -> Column:
    """Last column: the remark."""
    return "note", lambda row: str(row["note"])
