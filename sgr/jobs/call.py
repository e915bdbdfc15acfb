"""Call a job's function with what its annotations ask for."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints

from sgr.errors import UserError
from sgr.jobs.job import Job, Kind, plain


def call(job: Job, folder: Path) -> None:
    """Call the function of the job's kind as `function(settings, where, seed, folder)`.

    `settings` and `where` are turned from JSON into the types that the function's annotations name: dataclasses,
    tuples, paths. Raises UserError naming the field that does not fit.
    """
    called = function(job.kind)
    hints, names = get_type_hints(called), list(signature(called).parameters)[:2]
    settings, where = (
        _typed(value, hints.get(name, Any), f"{job.kind.name}: {name}")
        for name, value in zip(names, (job.settings, job.where), strict=True)
    )
    called(settings, where, job.seed, folder)


def function(kind: Kind) -> Callable[[Any, Any, int | None, Path], None]:
    """The function of a kind; imported here, late. Raises UserError if there is none."""
    module, _, name = kind.function.partition(":")
    found = getattr(_imported(module, kind), name, None)
    if not callable(found):
        raise UserError(
            f"the kind of job {kind.name} names {kind.function}, but {module} has no function {name}"
        )
    called: Callable[[Any, Any, int | None, Path], None] = found
    return called


def _imported(module: str, kind: Kind) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(f"the kind of job {kind.name} names {kind.function}: {error}") from error


def _typed(value: Any, hint: Any, what: str) -> Any:
    from pydantic import TypeAdapter, ValidationError

    try:
        # as JSON, in which a list may be a tuple and a string a path, but no number a string
        return TypeAdapter(hint).validate_json(json.dumps(plain(value)), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{what}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
