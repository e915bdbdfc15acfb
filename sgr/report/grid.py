"""What people see of a table: its cells in a few wide columns, from the lines of its sections.

A cell is text with the marks of Markdown that `latex` knows too: `**44.70±0.01**† (+0.41±0.28) [44.1]` is our number,
the best of its group, its gain, and the paper's number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

from sgr.datasets import describe

from .labels import Network, backbone_title
from .lines import Line
from .markdown import DASH
from .marks import FAILS, Named, below, named, reasons
from .specification import Measure, Section, Table
from .statistics import over_seeds

Cells = dict[str, Any]
Key = tuple[Network, int]
OURS = "not in the paper's table"


class Part(NamedTuple):
    """A section with its lines, and the line of the CSV file of each."""

    section: Section
    lines: Sequence[Line]
    cells: Sequence[Cells]


@dataclass(frozen=True)
class Grid:
    """One grid of cells.

    Attributes:
        heading, text: above it; empty where there is none.
        columns: group, empty where it has none, and title of each.
        rows: cells of each, as many as columns.
        starts: rows that begin with another framework or backbone.
        below: sentences that stand under it.
    """

    heading: str
    text: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    starts: frozenset[int]
    below: tuple[str, ...]


def grids(table: Table, parts: Sequence[Part]) -> list[Grid]:
    """A grid for each run of sections with the same heading, which share its lines: a network has one.

    What stands below several in a row stands below the last of them.
    """
    found = [
        _grid(table, heading, list(of_heading))
        for heading, of_heading in groupby(parts, lambda part: part.section.heading)
    ]
    after = [grid.below for grid in found[1:]] + [()]
    return [
        replace(grid, below=() if grid.below == below else grid.below)
        for grid, below in zip(found, after, strict=True)
    ]


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


def _grid(table: Table, heading: str, parts: Sequence[Part]) -> Grid:
    lines = _merged(parts)
    numbers = [(n, measure) for n, part in enumerate(parts) for measure in part.section.measures]
    best = {(key, n, measure.key) for n, measure in numbers for key in _best(table, lines, n, measure)}
    rows = []
    for key, found in lines.items():
        backbones = dict.fromkeys(line.backbone for line, _ in found.values() if line.backbone)
        first = next(iter(found.values()))[0]
        shown = ", ".join(map(backbone_title, backbones or [key[0].backbone]))
        cells = [
            cell(found[n][1], measure, (key, n, measure.key) in best) if n in found else ""
            for n, measure in numbers
        ]
        rows.append((first.network.method, shown, *cells))
    families = [(key[0].framework, key[0].backbone) for key in lines]
    return Grid(
        heading,
        parts[0].section.text,
        (("", "method"), ("", "backbone"), *((parts[n].section.title, m.title) for n, m in numbers)),
        tuple(rows),
        frozenset(n for n in range(1, len(rows)) if families[n] != families[n - 1]),
        tuple(_below(table, parts, rows)),
    )


def _merged(parts: Sequence[Part]) -> dict[Key, dict[int, tuple[Line, Cells]]]:
    """The lines of the sections by network without its dataset, and there by section, in the order of tables.

    A second row of the same network in a section has a line of its own.
    """
    found: dict[Key, dict[int, tuple[Line, Cells]]] = {}
    for n, part in enumerate(parts):
        for line, cells in zip(part.lines, part.cells, strict=True):
            key = replace(line.network, dataset=""), 0
            while n in found.get(key, {}):
                key = key[0], key[1] + 1
            found.setdefault(key, {})[n] = line, cells
    return dict(sorted(found.items(), key=lambda item: (item[0][0].order, item[0][1])))


def cell(cells: Cells, measure: Measure, best: bool = False) -> str:
    """Our number with its mark, its gain in parentheses and the paper's in brackets, where there are such."""
    key, decimals = measure.key, measure.decimals
    ours, paper = cells[f"{key}_ours"], cells.get(f"{key}_paper")
    if ours is None:
        return DASH
    shown = _number(ours, cells[f"{key}_std"], decimals)
    shown = f"**{shown}**{cells[f'{key}_mark']}" if best else f"{shown}{cells[f'{key}_mark']}"
    gained = cells.get(f"{key}_gain_ours")
    if gained is not None:
        shown += f" ({_number(gained, cells[f'{key}_gain_std'], decimals, '+')})"
    if cells.get(f"{key}_difference") is not None:
        shown += f" [{paper:.{measure.paper_decimals}f}]"
    return shown


def _number(value: float, std: float | None, decimals: int, sign: str = "") -> str:
    # Adding zero turns the -0.0 of a tiny negative number into 0.0.
    shown = f"{round(value, decimals) + 0.0:{sign}.{decimals}f}"
    return shown if std is None else f"{shown}±{std:.{decimals}f}"


def _best(
    table: Table, lines: dict[Key, dict[int, tuple[Line, Cells]]], n: int, measure: Measure
) -> Iterator[Key]:
    """Whose number is the best of its group as it is shown, where two or more can be compared.

    A row that has failed is none of them, and numbers of which some deviate, and others do not, are not compared.
    """
    groups: dict[Any, dict[Key, Cells]] = {}
    for key, found in lines.items():
        cells = found[n][1] if n in found else None
        if cells and cells[f"{measure.key}_ours"] is not None and FAILS not in cells[f"{measure.key}_mark"]:
            groups.setdefault(table.group(key[0]), {})[key] = cells
    for group in groups.values():
        shown = {key: round(cells[f"{measure.key}_ours"], measure.decimals) for key, cells in group.items()}
        if len(group) > 1 and len({cells[f"{measure.key}_mark"] for cells in group.values()}) == 1:
            top = (min if measure.lower else max)(shown.values())
            yield from (key for key, value in shown.items() if value == top)


def _below(table: Table, parts: Sequence[Part], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """What the marks, dashes and empty cells of a grid mean."""
    lines = [(part.section, line) for part in parts for line in part.lines]
    yield from below(
        [
            (
                _named(section, line),
                [why for measure in section.measures for why in reasons(line, measure, bool(table.paper))],
            )
            for section, line in lines
            if line.about
        ]
    )
    if table.paper and (ours := [_named(section, line) for section, line in lines if not line.published]):
        yield f"{OURS[0].upper()}{OURS[1:]}: {named(ours, [_named(*line) for line in lines])}."
    if any(DASH in row for row in rows):
        yield f"{DASH} nothing to measure, or not trained yet."
    if any("" in row for row in rows):
        yield "An empty cell: no such row."


def _named(section: Section, line: Line) -> Named:
    return describe(section.dataset or line.network.dataset).title, line.network.method
