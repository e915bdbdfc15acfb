"""List job folders that nothing refers to. `python -m sgr.cli.clean_jobs [--remove]`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.common import run


def main(remove: bool) -> None:
    """Print what no plan entry of any profile refers to, with size and age; with --remove, remove it."""
    from sgr.cli.console import relative, table
    from sgr.jobs.cluster import settings
    from sgr.jobs.inspect.leftovers import leftovers
    from sgr.jobs.inspect.leftovers import remove as remove_leftover
    from sgr.jobs.run.durations import duration, size
    from sgr.jobs.store import JobStore

    store = JobStore(settings().jobs)
    found = leftovers(store, plans())
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


def plans() -> Iterator[dict[str, Any]]:
    """Every plan entry of every profile: as params.yaml and the code are now, and as the stage plan last left it."""
    from sgr.files import read_json
    from sgr.plan.entries import entries
    from sgr.plan.params import load

    params = load(Path("params.yaml"))
    for profile in params.profiles:
        yield from entries(params.model_copy(update={"profile": profile}), Path.cwd()).values()
    yield from (read_json(path) for path in Path("work").glob("*/plan/*/*.json"))


if __name__ == "__main__":
    run(main, "--remove")
