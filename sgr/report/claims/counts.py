"""Numbers that have no seeds: of components and instances, and of what networks cost."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from sgr.datasets import describe

from .evidence import GENERATED, Figure, Source
from .statistics import Estimate, share


@dataclass(frozen=True)
class WholeInstances:
    """The share of instances that one component holds, among those that any component is left of."""

    def figures(self, source: Source) -> list[Figure]:
        """A figure a dataset whose components have been compared with instances."""
        found = []
        for dataset in source.settings.datasets:
            path = source.folder / f"component_statistics_{dataset}.csv"
            if not path.exists():
                continue
            things = next(line for line in _read(path) if line["class"] == "all things")
            total = int(things["instances"])
            alone, shared, split = (
                round(float(things[outcome] or 0) * total) for outcome in ("alone", "shared", "split")
            )
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
        """One figure. It decides nothing: the text that says how much is too much is not part of the paper."""
        path = source.results / "overhead" / f"{source.profile}.csv"
        lines = _read(path) if path.exists() else []
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


def _read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
