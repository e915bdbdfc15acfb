"""`python -m sgr jobs`: the jobs of this repository."""

from __future__ import annotations

from collections import Counter

from sgr.cli.console import relative, table
from sgr.jobs.inspect.listing import STATES, jobs
from sgr.jobs.readable import duration
from sgr.machine import settings

COLUMNS = ("row", "kind", "seed", "state", "age", "id", "node", "log")


def main(every: bool = False) -> None:
    """Print every job with row, seed, state, age, id, node and log file; the finished ones only with `every`."""
    store = settings().store
    found = jobs(store)
    shown = [job for job in found if every or job.state != "finished"]
    if shown:
        rows = []
        for job in shown:
            age = "" if job.age is None else duration(job.age)
            rows.append(
                (job.row, job.kind, job.seed, job.shown_state, age, job.id, job.node, relative(job.log))
            )
        table(COLUMNS, rows)
    counts = Counter(job.state for job in found)
    told = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    hidden = "" if every or not counts["finished"] else "; make jobs ALL=1 lists finished ones too"
    print(f"{relative(store.root)}: {told or 'no jobs'}{hidden}")
