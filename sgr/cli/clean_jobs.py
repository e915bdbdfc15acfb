"""`python -m sgr clean-jobs`: job folders that nothing refers to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sgr.cli.console import relative, table
from sgr.files import read_json
from sgr.jobs.inspect.leftovers import leftovers
from sgr.jobs.inspect.leftovers import remove as remove_leftover
from sgr.jobs.job import Job, canonical, plain
from sgr.jobs.readable import duration, size
from sgr.machine import settings
from sgr.plan.entries import entries
from sgr.plan.params import load


def main(remove: bool = False) -> None:
    """Print what no plan entry of any profile refers to, with size and age; with `remove`, remove it."""
    store, known = settings().store, referred(plans())
    found = leftovers(store, lambda job: identity(job) in known)
    if not found:
        print(f"{relative(store.root)}: nothing to remove")
        return
    rows = [(old.what, size(old.bytes), duration(old.age), relative(old.folder)) for old in found]
    table(("what", "size", "age", "folder"), rows)
    if not remove:
        total = size(sum(old.bytes for old in found))
        print(f"{len(found)} folders, {total}, that no plan refers to; make clean-jobs YES=1 removes them")
        return
    gone = [old for old in found if remove_leftover(old)]
    print(f"removed {len(gone)} folders, {size(sum(old.bytes for old in gone))}")


def plans() -> Iterator[tuple[str, Any]]:
    """(stage, plan entry as JSON) of every profile: as params.yaml and the code are now, and as `plan` last left it."""
    params = load(Path("params.yaml"))
    for profile in params.profiles:
        found = entries(params.model_copy(update={"profile": profile}), Path.cwd())
        yield from ((name.partition("/")[0], plain(entry)) for name, entry in found.items())
    yield from ((path.parent.name, read_json(path)) for path in Path("work").glob("*/plan/*/*.json"))


def referred(plans: Iterable[tuple[str, Any]]) -> set[str]:
    """The `identity` of every job that the entries refer to, those of a sweep's pairs among them."""
    found = set()
    for stage, entry in plans:
        parts = [(stage, entry.get("settings", {}), entry.get("code"))]
        if stage == "sweep":
            of_sweep = entry.get("settings", {})
            parts = [
                (kind, pair[kind], of_sweep[f"{kind}_code"])
                for pair in of_sweep.get("pairs", [])
                for kind in ("train", "evaluate")
            ]
        seeds = entry.get("seeds") or [0]
        found |= {canonical([*part, seed]) for part in parts for seed in seeds}
    return found


def identity(job: Job) -> str:
    """What a plan decides of a job, which its inputs are no part of."""
    return canonical([job.kind.name, plain(job.settings), plain(job.code), job.seed])
