"""Numbers that have no seeds: of components and instances, and of what networks cost."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from sgr.datasets import describe
from sgr.errors import UserError

from .evidence import GENERATED, Figure, Source
from .statistics import Estimate, share

# Of an instance that a component is left of: it is one alone, it shares one with another, it is split into several.
OUTCOMES = ("alone", "shared", "split")


@dataclass(frozen=True)
class WholeInstances:
    """The share of instances that one component holds, among those that any component is left of.

    Its test takes instances for independent, as the counts say nothing of which image they lie in.
    """

    def figures(self, source: Source) -> list[Figure]:
        """A figure a dataset whose components have been compared with instances. Raises UserError for another file."""
        found = []
        for dataset in source.settings.datasets:
            path = source.folder / f"component_statistics_{dataset}.csv"
            if not path.exists():
                continue
            lines = _read(path, "class", "instances", *OUTCOMES)
            things = next((line for line in lines if line["class"] == "all things"), None)
            if things is None:
                raise UserError(
                    f"{path} has no line of all things: run `dvc repro component_statistics_{dataset}`"
                )
            total = int(things["instances"])
            alone, shared, split = (round(float(things[outcome] or 0) * total) for outcome in OUTCOMES)
            estimate = share(alone + shared, alone + shared + split)
            part = "a part of the dataset" if dataset in source.settings.parts else ""
            none = "" if estimate else "no instance"
            found.append(
                Figure(
                    f"{describe(dataset).title}, instances",
                    estimate,
                    estimate is not None and estimate.value > 0.5,
                    GENERATED if source.generated else part or none,
                    null=0.5,
                    shown=".1%",
                )
            )
        return found


@dataclass(frozen=True)
class Cost:
    """What SGR costs in the measure of results/overhead, as a ratio to GloRe on the same network; a mean over them."""

    measure: str
    label: str

    def figures(self, source: Source) -> list[Figure]:
        """One figure. It decides nothing: how much is too much stands in the supplement, if anywhere.

        Raises UserError for another file.
        """
        path = source.results / "overhead" / f"{source.profile}.csv"
        lines = _read(path, "family", "backbone", "unit", self.measure) if path.exists() else []
        cost = {(line["family"], line["backbone"], line["unit"]): float(line[self.measure]) for line in lines}
        ratios = [
            cost[family, backbone, "sgr"] / cost[family, backbone, "glore"]
            for family, backbone, unit in cost
            if unit == "sgr"
        ]
        if not ratios:
            return []
        mean = Estimate(sum(ratios) / len(ratios), len(ratios))
        why = "the paper's text names no number"
        return [Figure(self.label, mean, False, why, null=1.0, shown=".3f")]


def _read(path: Path, *columns: str) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        if missing := {*columns} - {*(table.fieldnames or ())}:
            raise UserError(
                f"{path} lacks {', '.join(sorted(missing))}: run `dvc repro`, which makes it anew"
            )
        return list(table)
