"""Differences between two networks at a measure, seed by seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sgr.datasets import describe
from sgr.report import marks, published
from sgr.report.labels import Network
from sgr.report.lines import Line, lines_of
from sgr.report.results import SEMANTICS
from sgr.report.specification import Measure, Splits, Table

from .evidence import GENERATED, Figure, Source
from .networks import Against
from .statistics import Estimate, paired

FEWEST = 3  # pairs of seeds: the interval of two is 13 standard errors wide to each side


@dataclass(frozen=True)
class Comparison:
    """A measure of one network minus that of another, on every dataset that has both.

    Attributes:
        table, key: which measure, by the table that shows it; section: in which of its sections.
        of, against: the networks that the claim is of, and the one that each is compared with.
        lower: whether the claim is that the measure is lower.
        label: what tells it from the claim's other comparisons.
    """

    table: Table
    key: str
    of: Callable[[Network], bool]
    against: Against
    lower: bool = False
    label: str = ""
    section: int = 0

    def figures(self, source: Source) -> list[Figure]:
        """A figure a dataset, in the order of params/rows.yaml. Raises UserError for a malformed result."""
        rows = source.settings.rows
        datasets = dict.fromkeys(network.dataset for network in rows.values() if self.of(network))
        return [figure for dataset in datasets for figure in self._on(dataset, source)]

    def _on(self, dataset: str, source: Source) -> list[Figure]:
        rows = source.settings.rows
        subjects = [network for network in rows.values() if network.dataset == dataset and self.of(network)]
        section = self.table.sections[self.section]
        measure = next(measure for measure in section.measures if measure.key == self.key)
        of_paper = section.split or published.splits().get(dataset)
        split = of_paper or own_split(measure, source.settings.datasets[dataset])
        section = replace(
            section,
            stands={*subjects, *map(self.against, subjects)}.__contains__,
            measures=(measure,),
            split=split,
        )
        table = replace(self.table, sections=(section,), base=self.against)
        pairs = [
            (line, line.base)
            for line in lines_of(table, section, source.folder, rows)
            if self.of(line.network) and line.seeds and line.base and line.base.seeds
        ]
        title = describe(section.dataset or dataset).title + ("" if of_paper else f" {split}")
        return [
            self._figure(
                ", ".join((title, line.network.method)) if len(pairs) > 1 else title, measure, line, base
            )
            for line, base in pairs
        ]

    def _figure(self, subject: str, measure: Measure, line: Line, base: Line) -> Figure:
        estimate = paired(*line.gained(measure))
        paper, paper_of_base = line.paper(measure), line.paper_of_base(measure)
        return Figure(
            ", ".join(filter(None, (subject, self.label))),
            estimate,
            right=estimate is not None and (estimate.value < 0 if self.lower else estimate.value > 0),
            uncounted=_uncounted(line, base, measure, estimate),
            of=line.row,
            against=base.row,
            shown=f"+.{measure.decimals}f",
            paper=None if paper is None or paper_of_base is None else round(paper - paper_of_base, 3),
            about=(line.about[measure.key], base.about[measure.key]),
        )


def own_split(measure: Measure, splits: Splits) -> str:
    """Where a measure is taken on a dataset that the paper does not have.

    mIoU on the last split it is evaluated on: settings have been chosen on the first.
    """
    return splits.semantics if measure.file == SEMANTICS else splits.evaluate[-1]


def _uncounted(line: Line, base: Line, measure: Measure, estimate: Estimate | None) -> str:
    """Why a difference decides nothing; empty for one that counts."""
    if "generated" in {of.about[measure.key].source for of in (line, base)}:
        return GENERATED
    reasons = [reason.words for of in (line, base) for reason in marks.reasons(of, measure, of_paper=False)]
    if reasons:
        return "; ".join(dict.fromkeys(reasons))
    if estimate is None:
        return "no seed in common"
    if estimate.n < FEWEST:
        return f"n = {estimate.n}"
    return "" if estimate.p is not None else "the seeds do not differ"
