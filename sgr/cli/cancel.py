"""Cancel the jobs of a row. `python -m sgr.cli.cancel <row>`."""

from __future__ import annotations

from stages.common import run


def main(row: str) -> None:
    """Cancel what is queued or runs of a row, and say what was done."""
    from sgr.jobs.cluster import settings
    from sgr.jobs.inspect.cancel import cancel
    from sgr.jobs.store import JobStore

    done = cancel(JobStore(settings().jobs), row)
    print("\n".join(done) or f"{row}: nothing is queued or runs")


if __name__ == "__main__":
    run(main, "row")
