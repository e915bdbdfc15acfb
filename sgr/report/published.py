"""The paper's own numbers, from the CSV files in paper/, each line known by its network's fields."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sgr import yaml_files

from .labels import Network, changes_in_words

PAPER = Path(__file__).parent / "paper"


class PaperLine(NamedTuple):
    """A line of one of the paper's tables: its network, and its cells by column, empty for the paper's dash."""

    network: Network
    cells: dict[str, str]

    def number(self, column: str) -> float | None:
        """A number of the line; None for the paper's dash."""
        return float(self.cells[column]) if self.cells[column] else None


@cache
def load(table: str) -> tuple[PaperLine, ...]:
    """The lines of `table1` ... `table4`."""
    with open(PAPER / f"{table}.csv", newline="", encoding="utf-8") as file:
        return tuple(PaperLine(_network(cells), cells) for cells in csv.DictReader(file))


@cache
def splits() -> dict[str, str]:
    """The split that the paper evaluates each dataset on: cocostuff10k test, ade20k val, cityscapes val."""
    return {line.network.dataset: line.cells["split"] for line in load("table1")}


def _network(cells: dict[str, str]) -> Network:
    return Network(
        cells["dataset"],
        cells["family"],
        cells["backbone"],
        cells["unit"],
        cells.get("prototypes") == "true",
        changes_in_words(yaml_files.parse(cells.get("sgr") or "{}")),
    )
