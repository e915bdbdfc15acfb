"""What a job is: a function, what decides its result, and where its inputs lie."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sgr.errors import UserError
from sgr.files import read_json, write_json


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    Attributes:
        name: in listings and in the content key.
        function: `module:function`, called as `function(settings, where, seed, folder)`. It writes its artefacts into
            `folder`, and resumes from what it left there if it was killed. `settings` and `where` are JSON values, or
            dataclasses where its annotations say so.
        artefacts: names of the files below `folder` that it leaves.
        settings: `module:class` of what `function` takes, for those who read settings without running it.
        ranks: whether it runs as several ranks where the cluster's settings ask for them.
        measures_time: whether it must have the machine to itself.
    """

    name: str
    function: str
    artefacts: tuple[str, ...]
    settings: str = ""
    ranks: bool = False
    measures_time: bool = False

    @property
    def module(self) -> str:
        """Where the function is: the root of the sources that its result depends on."""
        return self.function.partition(":")[0]


@dataclass(frozen=True)
class Code:
    """The code that a result depends on.

    Attributes:
        sources: path relative to the project's root -> hash of the meaning of that source file.
        libraries: name -> pinned version.
    """

    sources: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One unit of work, done once for each content key.

    Attributes:
        kind: what is done.
        settings: a dataclass or JSON value that decides the result, like `seed`, `inputs` and `code`.
        seed: of its random numbers; None for a job without any.
        inputs: what it reads, by name: hash of the content, or identity of the job that makes it.
        code: sources and libraries.
        where: a dataclass or JSON value of paths and worker counts; it never changes a result and is not in the key.
        after: jobs that must have finished first, whose results `where` names and `inputs` knows by their identity.
        row: what listings call it; not in the key.
        threads: of a CPU's kernels; where they change bits, `settings` holds them too.
    """

    kind: Kind
    settings: Any
    seed: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    code: Code = Code()
    where: Any = None
    after: tuple[Job, ...] = ()
    row: str = ""
    threads: int | None = None

    @property
    def content(self) -> dict[str, Any]:
        """What decides the result, as JSON."""
        decides = (self.settings, self.seed, self.inputs, self.code)
        names = ("settings", "seed", "inputs", "code")
        return {"kind": self.kind.name, **{n: plain(value) for n, value in zip(names, decides, strict=True)}}

    @cached_property
    def key(self) -> str:
        """First 32 hex digits of the SHA-256 of the canonical JSON of `content`."""
        return hashlib.sha256(canonical(self.content).encode()).hexdigest()[:32]

    @classmethod
    def load(cls, folder: Path) -> Job:
        """The job that `JobStore.prepare` wrote into a folder; `settings` and `where` as JSON, without `after`.

        Raises UserError if job.json or where.json is damaged.
        """
        return replace(cls.known(folder), **_where(folder))

    @classmethod
    def known(cls, folder: Path) -> Job:
        """The same, but without what where.json says if that is damaged: no result depends on it."""
        file = folder / "job.json"
        try:
            told = read_json(file)
            kind = Kind(**{**told["kind"], "artefacts": tuple(told["kind"]["artefacts"])})
            job = cls(kind, told["settings"], told["seed"], told["inputs"], Code(**told["code"]))
        except (UserError, KeyError, TypeError):
            raise damaged(file) from None
        with suppress(UserError):
            job = replace(job, **_where(folder))
        return job

    def save(self, folder: Path) -> None:
        """Write what `load` reads."""
        content = {**self.content, "kind": asdict(self.kind)}
        write_json(folder / "job.json", content)
        where = {"where": plain(self.where), "row": self.row, "threads": self.threads}
        write_json(folder / "where.json", where)


def damaged(file: Path) -> UserError:
    """What to say of a file that `JobStore.prepare` writes before each run."""
    return UserError(f"{file} is missing or damaged: run the command again, which writes it anew")


def canonical(value: Any) -> str:
    """A dataclass or JSON value as text, the same for equal values."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"))


def plain(value: Any) -> Any:
    """A dataclass, or what holds dataclasses, paths and tuples, as a JSON value."""
    return json.loads(json.dumps(value, default=_plain, allow_nan=False))


def _where(folder: Path) -> dict[str, Any]:
    file = folder / "where.json"
    try:
        told = read_json(file)
        return {name: told[name] for name in ("where", "row", "threads")}
    except (UserError, KeyError, TypeError):
        raise damaged(file) from None


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else os.fspath(value)
