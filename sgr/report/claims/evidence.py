"""What a claim is judged by: numbers, each on the side that the claim says or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sgr.report.about import About
from sgr.report.settings import ClaimsSettings

from .statistics import Estimate

GENERATED = "generated images"


@dataclass(frozen=True)
class Source:
    """What there is to judge by: results/<profile> and the plan's entry.

    Attributes:
        results: the folder of all profiles.
        generated: whether the profile's images are.
    """

    results: Path
    profile: str
    settings: ClaimsSettings
    generated: bool

    @property
    def folder(self) -> Path:
        """results/<profile>."""
        return self.results / self.profile


@dataclass(frozen=True)
class Figure:
    """A number that a claim rests on.

    Attributes:
        label: what it is of: `Cityscapes, S_C`.
        estimate: None where a network has failed, or no seed is in common.
        right: whether it is on the side that the claim says.
        uncounted: why it decides nothing, in words; empty for one that counts.
        of, against: the rows that it compares; empty where it compares none.
        null: the value that the claim denies.
        shown: format of the number.
        paper: the paper's own number.
        about: what its results are of.
    """

    label: str
    estimate: Estimate | None
    right: bool
    uncounted: str
    of: str = ""
    against: str = ""
    null: float = 0.0
    shown: str = "+.2f"
    paper: float | None = None
    about: Sequence[About] = field(default=(), repr=False)

    def __str__(self) -> str:
        """`CamVid: +0.24 [-0.10, +0.58], n = 5, p = 0.12; paper +0.8`; the paper's not beside generated images."""
        found, paper = self.estimate, ""
        if self.paper is not None and self.uncounted != GENERATED:
            paper = f"; paper {self._number(self.paper)}"
        if found is None:
            return f"{self.label}: —{paper}"
        tested = ""
        if found.low is not None and found.high is not None and found.p is not None:
            p = f"p = {found.p:.2g}" if found.p >= 0.001 else "p < 0.001"
            tested = f" [{self._number(found.low)}, {self._number(found.high)}], {p}"
        return f"{self.label}: {self._number(found.value)}{tested}, n = {found.n}{paper}"

    def _number(self, value: float) -> str:
        text = format(value, self.shown)
        # a tiny negative number is no -0.00
        return text if any(digit in text for digit in "123456789") else text.replace("-", "+")


class Evidence(Protocol):
    """A kind of number that a claim rests on."""

    def figures(self, source: Source) -> list[Figure]:
        """The numbers that there are; none where the profile has no results for it."""
