"""What a table is made of: its sections, which rows stand in each, and what is measured of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .labels import Network
from .results import METRICS


@dataclass(frozen=True)
class Measure:
    """A number of each line: several columns of the CSV file, one for people.

    Attributes:
        key: first part of the names of its columns in the CSV file.
        title: of its column for people, with an arrow that says which way is better.
        metric: its name in the result file.
        paper: its column of the paper's CSV file; empty where the paper has none.
        decimals, paper_decimals: for people.
        file: the result file that it is read from, METRICS, SEMANTICS or INSTANCES.
        split: where it is measured; empty for the split of the section.
        gain: whether the difference to the base row has columns of its own.
        summary_gain, summary_mean: names of its mean gain and of its mean in the table's summary; empty: not there.
        flag, failure: the name of the flag in the row's METRICS that says that the row has failed, and how, in words.
        floor: the metric that the number must pass; empty: none.
    """

    key: str
    title: str
    metric: str
    paper: str = ""
    decimals: int = 2
    paper_decimals: int = 2
    file: str = METRICS
    split: str = ""
    gain: bool = False
    summary_gain: str = ""
    summary_mean: str = ""
    flag: str = ""
    failure: str = "predicts one class for everything"
    floor: str = ""

    @property
    def lower(self) -> bool:
        """Whether the lower number is the better one, as the title's arrow says."""
        return "↓" in self.title


@dataclass(frozen=True)
class Section:
    """Lines of a table under one heading; where they are of several datasets, each has columns of its own.

    Attributes:
        stands: which networks, of the paper's lines and of the rows of params/rows.yaml, stand here.
        measures: of each line; a row counts as trained when the first one's result file is there.
        heading, text: above the lines, for people; both may be empty.
        columns: first cells of its lines in the CSV file; they choose the lines of the paper's CSV file too.
        dataset, split: where it is measured; empty for the dataset of the row, and for the paper's split of it.
        trained_only: whether a row that the paper does not have stands here only once it has a result.
    """

    stands: Callable[[Network], bool]
    measures: tuple[Measure, ...]
    heading: str = ""
    text: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    dataset: str = ""
    split: str = ""
    trained_only: bool = False


@dataclass(frozen=True)
class Splits:
    """Which splits of a dataset its rows are evaluated on, and the one of them that S and D are measured on."""

    evaluate: tuple[str, ...]
    semantics: str


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
        title, reading: heading, and how to read the numbers.
        paper: name of the paper's CSV file; empty for a table that the paper does not have.
        base: what a network's gain is over; a network that is its own base has none.
        summarised: the networks that the summary is a mean of.
        group: of which networks one is marked as the best; all of a column unless told.
    """

    title: str
    reading: str
    sections: tuple[Section, ...]
    paper: str = ""
    base: Callable[[Network], Network] = lambda network: network.plain
    summarised: Callable[[Network], bool] = lambda network: network.unit == "sgr" and not network.changes
    group: Callable[[Network], object] = lambda network: None

    @property
    def has_gains(self) -> bool:
        """Whether a line names its base."""
        return any(measure.gain for section in self.sections for measure in section.measures)
