"""A plan entry: everything that one stage of one row, dataset or backbone computes with, as a JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from sgr.errors import UserError
from sgr.files import read_json, write_json
from sgr.jobs.job import Code, plain

S = TypeVar("S")


@dataclass(frozen=True)
class Entry(Generic[S]):
    """What `plan` resolved for one stage.

    Attributes:
        settings: a dataclass that the work is done with.
        code: what the work imports. Together with seed and inputs these two are the content key of a job.
        scripts: the stage's own script, by its meaning. It and all below make a stage run again, but no job.
        row: what a person calls it.
        seeds: a job each.
        dataset: whose manifest the stage reads, and whether that is generated.
        official: how many images each split of that dataset has as published.
        results: the folder below results/<profile> that it writes to.
        backbone: of the network, by name.
        training: what tables say of a training, as `sgr.report.about.Training` has it, less what manifests count.
        weights: the paper's backbone whose weights it starts from; None for random ones.
        start: the row whose training it starts from; start_seed: and which of its seeds.
    """

    settings: S
    code: Code
    scripts: Mapping[str, str] = field(default_factory=dict)
    row: str = ""
    seeds: tuple[int, ...] = ()
    dataset: str = ""
    generated: bool = False
    official: Mapping[str, int] = field(default_factory=dict)
    results: str = ""
    backbone: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    start: str | None = None
    start_seed: int | None = None


def path(profile: str, stage: str, key: str) -> Path:
    """Where the entry of a stage lies, seen from the project's root."""
    return Path("work", profile, "plan", stage, f"{key}.json")


def write(entry: Entry[Any], profile: str, stage: str, key: str) -> None:
    """Write an entry as JSON."""
    write_json(path(profile, stage, key), plain(entry))


def read(kind: type[S], profile: str, stage: str, key: str) -> Entry[S]:
    """The entry that `plan` wrote, its settings of type `kind`.

    Raises:
        UserError: for a key that the stage has no entry of, or an entry of another version of the code.
    """
    file = path(profile, stage, key)
    if not file.exists():
        known = ", ".join(sorted(entry.stem for entry in file.parent.glob("*.json")))
        raise UserError(
            f"{profile}: {stage} knows no {key!r}, it knows {known or 'none yet: run dvc repro plan'}"
        )
    return parse(kind, read_json(file), file)


def parse(kind: type[S], content: Any, file: Path) -> Entry[S]:
    """An entry from its JSON value. Raises UserError naming the file if it is no such entry."""
    from pydantic import TypeAdapter, ValidationError

    try:
        settings = TypeAdapter(kind).validate_python(content.pop("settings"))
        code = Code(**content.pop("code"))
        return Entry(settings, code, **{**content, "seeds": tuple(content["seeds"])})
    except (ValidationError, KeyError, TypeError, AttributeError):
        raise UserError(f"{file} is not of this code: run dvc repro plan") from None
