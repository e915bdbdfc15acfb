"""`sgr clean-jobs`: the job folders that nothing refers to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sgr.cli.console import relative, table
from sgr.files import read_json
from sgr.jobs.inspect import leftovers
from sgr.jobs.job import Job, canonical, plain
from sgr.jobs.readable import duration, size
from sgr.kinds import EVALUATE, KINDS, TRAIN
from sgr.machine import settings


def main(remove: bool = False) -> None:
    """Print what no plan entry of any profile refers to, with size and age; remove it if asked."""
    store, wanted = settings().store, {identity for entry in entries() for identity in identities(*entry)}
    found = leftovers.leftovers(store, lambda job: _identity(job) in wanted)
    if not found:
        print(f"{relative(store.root)}: nothing to remove")
        return
    rows = [(old.what, size(old.bytes), duration(old.age), relative(old.folder)) for old in found]
    table(("what", "size", "age", "folder"), rows)
    if not remove:
        total = size(sum(old.bytes for old in found))
        print(f"{len(found)} folders, {total}, that no plan refers to; make clean-jobs YES=1 removes them")
        return
    gone = [old for old in found if leftovers.remove(old)]
    print(f"removed {len(gone)} folders, {size(sum(old.bytes for old in gone))}")


def entries() -> Iterator[tuple[str, dict[str, Any]]]:
    """Stage and JSON of each plan entry of every profile: as it would be made now, and as `plan` last left it."""
    from sgr.plan.entries import entries as made_now
    from sgr.plan.params import load

    params = load(Path("params.yaml"))
    for profile in params.profiles:
        of_profile = params.model_copy(update={"profile": profile})
        for name, entry in made_now(of_profile, Path.cwd()).items():
            yield name.partition("/")[0], plain(entry)
    for path in Path("work").glob("*/plan/*/*.json"):
        yield path.parent.name, read_json(path)


def identities(stage: str, entry: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """What tells the jobs of a plan entry from others: all of their content but the inputs, which need data."""
    asked = entry["settings"]
    if stage == "sweep":
        of_each = [
            (kind.name, pair[kind.name], asked[f"{kind.name}_code"])
            for pair in asked["pairs"]
            for kind in (TRAIN, EVALUATE)
        ]
    else:
        of_each = [(stage, asked, entry["code"])] if stage in KINDS else []
    for kind, of_job, code in of_each:
        for seed in entry["seeds"] or [0]:
            yield kind, canonical(of_job), canonical(code), seed


def _identity(job: Job) -> tuple[Any, ...]:
    return job.kind.name, canonical(job.settings), canonical(job.code), job.seed
