"""What people see of a table: a line a network, in a few wide columns a dataset.

A cell is text with the marks of Markdown that `latex` knows too: `**44.70±0.01**† (+0.41±0.28) [44.1]` is our number,
the best of its group, its gain, and the paper's number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sgr.datasets import describe

from .labels import Network, backbone_title
from .lines import Line
from .markdown import DASH
from .marks import DEVIATES, FAILS
from .notes import Cells, Part, notes, shared_reasons
from .specification import Measure, Table

Key = tuple[Network, int]
Merged = dict[Key, dict[str, tuple[Line, Cells]]]


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
    """A grid a section; what stands below several in a row stands below the last of them."""
    found = [_grid(table, part) for part in parts]
    after = [grid.below for grid in found[1:]] + [()]
    return [
        replace(grid, below=() if grid.below == below else grid.below)
        for grid, below in zip(found, after, strict=True)
    ]


def _grid(table: Table, part: Part) -> Grid:
    section, lines = part.section, _merged(part)
    datasets = list(dict.fromkeys(line.network.dataset for line in part.lines))
    numbers = [(dataset, measure) for dataset in datasets for measure in section.measures]
    best = {
        (key, dataset, measure.key)
        for dataset, measure in numbers
        for key in _best(table, lines, dataset, measure)
    }
    shared = shared_reasons(table, part)
    rows = []
    for key, found in lines.items():
        backbones = dict.fromkeys(line.backbone for line, _ in found.values() if line.backbone)
        first = next(iter(found.values()))[0]
        shown = ", ".join(map(backbone_title, backbones or [key[0].backbone]))
        cells = [
            cell(found[dataset][1], measure, (key, dataset, measure.key) in best, bool(shared))
            if dataset in found
            else ""
            for dataset, measure in numbers
        ]
        rows.append((first.network.method, shown, *cells))
    families = [(key[0].framework, key[0].backbone) for key in lines]
    return Grid(
        section.heading,
        section.text,
        (
            ("", "method"),
            ("", "backbone"),
            *(
                (describe(dataset).title if len(datasets) > 1 else "", measure.title)
                for dataset, measure in numbers
            ),
        ),
        tuple(rows),
        frozenset(n for n in range(1, len(rows)) if families[n] != families[n - 1]),
        tuple(notes(table, part, rows, shared)),
    )


def _merged(part: Part) -> Merged:
    """The lines of a section by network without its dataset, and there by dataset, in the order of tables.

    A second row of the same network on a dataset has a line of its own.
    """
    found: Merged = {}
    for line, cells in zip(part.lines, part.cells, strict=True):
        key = replace(line.network, dataset=""), 0
        while line.network.dataset in found.get(key, {}):
            key = key[0], key[1] + 1
        found.setdefault(key, {})[line.network.dataset] = line, cells
    return dict(sorted(found.items(), key=lambda item: (item[0][0].order, item[0][1])))


def cell(cells: Cells, measure: Measure, best: bool = False, shared: bool = False) -> str:
    """Our number with its mark, its gain in parentheses and the paper's in brackets, where there are such.

    shared: whether every number deviates for the same reasons, so that none is marked for them.
    """
    key, decimals = measure.key, measure.decimals
    ours, paper = cells[f"{key}_ours"], cells.get(f"{key}_paper")
    if ours is None:
        return DASH
    shown = _number(ours, cells[f"{key}_std"], decimals)
    mark = cells[f"{key}_mark"].replace(DEVIATES, "") if shared else cells[f"{key}_mark"]
    shown = f"**{shown}**{mark}" if best else f"{shown}{mark}"
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


def _best(table: Table, lines: Merged, dataset: str, measure: Measure) -> Iterator[Key]:
    """Whose number is the best of its group as it is shown, where two or more can be compared.

    A row that has failed is none of them, and numbers of which some deviate, and others do not, are not compared.
    """
    groups: dict[Any, dict[Key, Cells]] = {}
    for key, found in lines.items():
        cells = found[dataset][1] if dataset in found else None
        if cells and cells[f"{measure.key}_ours"] is not None and FAILS not in cells[f"{measure.key}_mark"]:
            groups.setdefault(table.group(key[0]), {})[key] = cells
    for group in groups.values():
        shown = {key: round(cells[f"{measure.key}_ours"], measure.decimals) for key, cells in group.items()}
        if len(group) > 1 and len({cells[f"{measure.key}_mark"] for cells in group.values()}) == 1:
            top = (min if measure.lower else max)(shown.values())
            yield from (key for key, value in shown.items() if value == top)
