"""The lines of a table's section: the paper's, each with the row that reproduces it, and those of our other rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import published, results
from .about import About
from .labels import Network
from .published import PaperLine
from .specification import Measure, Section, Table

Rows = Mapping[str, Network]


@dataclass
class Line:
    """A line of a table.

    Attributes:
        row: of params.yaml; empty where none reproduces the paper's line.
        network: of the row, else of the paper's line.
        published: the paper's line; None where it has none.
        split: where it is measured.
        backbone, parameters: of the network in fact trained; empty and None without a result.
        seeds: how many the numbers are from.
        values: key of a measure -> value by seed.
        about: key of a measure -> what its values are of.
        failed, floor: key of a measure -> by seed whether the row has failed there, and what its value must pass.
        base: the line that its gain is over.
        published_base: the paper's line that the paper's gain is over.
    """

    row: str
    network: Network
    published: PaperLine | None
    split: str
    backbone: str = ""
    parameters: int | None = None
    seeds: int = 0
    values: dict[str, Mapping[str, float]] = field(default_factory=dict)
    about: dict[str, About] = field(default_factory=dict)
    failed: dict[str, Mapping[str, bool]] = field(default_factory=dict)
    floor: dict[str, Mapping[str, float]] = field(default_factory=dict)
    base: Line | None = None
    published_base: PaperLine | None = None

    def paper(self, measure: Measure) -> float | None:
        """The paper's number."""
        return self.published.number(measure.paper) if self.published and measure.paper else None

    def paper_of_base(self, measure: Measure) -> float | None:
        """The paper's number of the base."""
        return self.published_base.number(measure.paper) if self.published_base and measure.paper else None

    def gained(self, measure: Measure) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Ours and those of the base, by seed; none where either has failed, as nothing is gained from or by that."""
        if self.base is None or any(
            any(line.failed.get(measure.key, {}).values()) for line in (self, self.base)
        ):
            return {}, {}
        return self.values.get(measure.key, {}), self.base.values.get(measure.key, {})


def lines_of(table: Table, section: Section, folder: Path, rows: Rows) -> list[Line]:
    """The lines of a section with their numbers; datasets in the paper's order, then as `Network.order`.

    Args:
        folder: results/<profile>.
        rows: of params.yaml by name.

    Raises:
        UserError: a malformed result.
    """
    of_paper = [line for line in published.load(table.paper) if _chosen(section, line)] if table.paper else []
    # Settings of training of its own make a row another one than the paper's only where there is one without.
    free = sorted(
        ((name, network) for name, network in rows.items() if section.stands(network)),
        key=lambda row: row[1].training,
    )
    lines = []
    for paper in of_paper:
        name, network = next((row for row in free if _reproduces(row[1], paper)), ("", paper.network))
        free = [row for row in free if row[0] != name]
        lines.append(_measured(section, folder, name, network, paper))
    ours = [_measured(section, folder, name, network, None) for name, network in free]
    lines += [line for line in ours if line.seeds or not section.trained_only]
    datasets = list(dict.fromkeys(line.network.dataset for line in lines))
    lines.sort(key=lambda line: (datasets.index(line.network.dataset), line.network.order))
    by_network = {line.network: line for line in reversed(lines)}
    paper_by_network = {paper.network: paper for paper in of_paper}
    for line in lines:
        base = table.base(line.network)
        line.base = by_network.get(base) if base != line.network else None
        if line.published and table.base(line.published.network) != line.published.network:
            line.published_base = paper_by_network.get(table.base(line.published.network))
    return lines


def _chosen(section: Section, line: PaperLine) -> bool:
    return section.stands(line.network) and all(line.cells[k] == v for k, v in section.columns.items())


def _reproduces(network: Network, paper: PaperLine) -> bool:
    return replace(network, training=()) == paper.network


def _measured(section: Section, folder: Path, row: str, network: Network, paper: PaperLine | None) -> Line:
    """A line with what the row's result files hold."""
    split = section.split or published.splits()[network.dataset]
    line = Line(row, network, paper, split)
    if not row:
        return line
    files = {
        file: results.load(folder, network.dataset, row, file)
        for file in dict.fromkeys([*(measure.file for measure in section.measures), results.METRICS])
    }
    trained = files[section.measures[0].file]
    if trained:
        # The backbone stands in the row's mIoU result, which a tokens' result need not repeat.
        about = files[results.METRICS] or trained
        line.backbone, line.parameters, line.seeds = about.backbone, about.parameters, len(trained.seeds)
    for measure in section.measures:
        result = files[measure.file]
        if not result:
            continue
        where = measure.split or split
        line.values[measure.key] = result.values(where, measure.metric)
        line.about[measure.key] = result.about
        if measure.floor:
            line.floor[measure.key] = result.values(where, measure.floor)
        if measure.flag and (own := files[results.METRICS]):
            line.failed[measure.key] = own.flags(measure.flag, where if result is own else "")
    return line
