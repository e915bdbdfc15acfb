"""The paper's own numbers, from the CSV files in paper/, each line known by its network's fields."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sgr import yaml_files

from .labels import Network, changes_in_words

PAPER = Path(__file__).parent / "paper"


class Schedule(NamedTuple):
    """What the paper trains with on a dataset; `crop`, height and width in pixels, is None for detection."""

    iterations: int
    batch_size: int
    crop: tuple[int, int] | None


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


@cache
def schedules() -> dict[str, Schedule]:
    """The paper's schedule on each dataset that it trains on."""
    with open(PAPER / "settings.csv", newline="", encoding="utf-8") as file:
        return {line["dataset"]: _schedule(line) for line in csv.DictReader(file)}


@cache
def claims() -> dict[str, tuple[str, str]]:
    """Section and words of each claim."""
    with open(PAPER / "claims.csv", newline="", encoding="utf-8") as file:
        return {line["claim"]: (line["section"], line["words"]) for line in csv.DictReader(file)}


def _schedule(cells: dict[str, str]) -> Schedule:
    crop = (int(cells["crop_height"]), int(cells["crop_width"])) if cells["crop_height"] else None
    return Schedule(int(cells["iterations"]), int(cells["batch_size"]), crop)


def _network(cells: dict[str, str]) -> Network:
    return Network(
        cells["dataset"],
        cells["family"],
        cells["backbone"],
        cells["unit"],
        cells.get("prototypes") == "true",
        changes_in_words(yaml_files.parse(cells.get("sgr") or "{}")),
    )
