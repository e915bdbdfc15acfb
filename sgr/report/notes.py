"""The sentences below a table: seeds, why numbers deviate, what dashes and empty cells mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sgr.datasets import describe

from .lines import Line
from .markdown import DASH
from .marks import DEVIATES, Named, below, named, reasons
from .specification import Section, Table
from .statistics import over_seeds

Cells = dict[str, Any]
OURS = "not in the paper's table"


class Part(NamedTuple):
    """A section with its lines, and the line of the CSV file of each."""

    section: Section
    lines: Sequence[Line]
    cells: Sequence[Cells]


def seeds(parts: Sequence[Part]) -> str:
    """The sentence that says how many seeds the numbers are of; empty where nothing is trained."""
    of: dict[int, dict[Named, None]] = {}
    for section, lines, _ in parts:
        for line in lines:
            if line.seeds:
                of.setdefault(line.seeds, {})[_named(section, line)] = None
    if not of:
        return ""
    trained = [name for names in of.values() for name in names]
    usual, *others = sorted(of, key=lambda n: (-len(of[n]), n))
    told = "".join(f"; {over_seeds(n)}: {named([*of[n]], trained)}" for n in others)
    return f"Each number is {over_seeds(usual)}{told}."


def shared_reasons(table: Table, part: Part) -> list[str]:
    """Why numbers deviate, if all of the part, two at least, do so for the same reasons; else nothing."""
    found = [
        [why.words for why in reasons(line, measure, bool(table.paper)) if why.mark == DEVIATES]
        for line, cells in zip(part.lines, part.cells, strict=True)
        for measure in part.section.measures
        if cells[f"{measure.key}_ours"] is not None
    ]
    return found[0] if len(found) > 1 and all(why == found[0] for why in found) else []


def notes(table: Table, part: Part, rows: Sequence[tuple[str, ...]], shared: Sequence[str]) -> Iterator[str]:
    """What the marks, dashes and empty cells of a grid mean."""
    names = [_named(part.section, line) for line in part.lines]
    found = [
        [why for measure in part.section.measures for why in reasons(line, measure, bool(table.paper))]
        for line in part.lines
    ]
    if shared:
        yield f"Every number: {'; '.join(shared)}."
        found = [[why for why in of_line if why.mark != DEVIATES] for of_line in found]
    yield from below(
        [(name, why) for name, why, line in zip(names, found, part.lines, strict=True) if line.about]
    )
    ours = [name for name, line in zip(names, part.lines, strict=True) if not line.published]
    if table.paper and ours:
        yield f"{OURS[0].upper()}{OURS[1:]}: {named(ours, names)}."
    if any(DASH in row for row in rows):
        yield f"{DASH} nothing to measure, or not trained yet."
    if any("" in row for row in rows):
        yield "An empty cell: no such row."


def _named(section: Section, line: Line) -> Named:
    return describe(section.dataset or line.network.dataset).title, line.network.method
