"""What a job is: a function, what decides its result, and where its inputs lie."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from sgr.files import read_json


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    Attributes:
        name: in listings and in the content key.
        function: `module:function`, called as `function(settings, where, seed, folder)`. It writes its artefacts into
            `folder`, and resumes from what it left there if it was killed. `settings` and `where` are JSON values, or
            dataclasses where its annotations say so.
        artefacts: names of the files below `folder` that it leaves.
        ranks: whether it runs as several ranks where the cluster's settings ask for them.
        measures_time: whether it must have the machine to itself.
    """

    name: str
    function: str
    artefacts: tuple[str, ...]
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

    @property
    def key(self) -> str:
        """First 32 hex digits of the SHA-256 of the canonical JSON of `content`."""
        text = json.dumps(self.content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @classmethod
    def load(cls, folder: Path) -> Job:
        """The job that `JobStore.prepare` wrote into a folder; `settings` and `where` as JSON, without `after`."""
        job, where = read_json(folder / "job.json"), read_json(folder / "where.json")
        return cls(
            Kind(**{**job["kind"], "artefacts": tuple(job["kind"]["artefacts"])}),
            job["settings"],
            job["seed"],
            job["inputs"],
            Code(**job["code"]),
            where["where"],
            row=where["row"],
            threads=where["threads"],
        )


def plain(value: Any) -> Any:
    """A dataclass, or what holds dataclasses, paths and tuples, as a JSON value."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    return json.loads(json.dumps(value, default=os.fspath, allow_nan=False))
