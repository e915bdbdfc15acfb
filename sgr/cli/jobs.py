"""List the jobs of this repository. `python -m sgr.cli.jobs [--all]`."""

from __future__ import annotations

from stages.common import run


def main(finished_too: bool) -> None:
    """Print every job with row, seed, state, age, id, node and log file; finished ones with --all alone."""
    from collections import Counter

    from sgr.cli.console import relative, table
    from sgr.jobs.cluster import settings
    from sgr.jobs.inspect.listing import STATES, jobs
    from sgr.jobs.run.durations import duration
    from sgr.jobs.store import JobStore

    store = JobStore(settings().jobs)
    found = jobs(store)
    shown = [job for job in found if finished_too or job.state != "finished"]
    if shown:
        columns = ("row", "kind", "seed", "state", "age", "id", "node", "log")
        rows = [
            (
                *(job.row, job.kind, job.seed, job.shown_state),
                *("" if job.age is None else duration(job.age), job.id, job.node, relative(job.log)),
            )
            for job in shown
        ]
        table(columns, rows)
    counts = Counter(job.state for job in found)
    told = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    hidden = "" if finished_too or not counts["finished"] else "; make jobs ALL=1 lists finished ones too"
    print(f"{relative(store.root)}: {told or 'no jobs'}{hidden}")


if __name__ == "__main__":
    run(main, "--all")
