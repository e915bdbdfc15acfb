"""`python -m sgr cancel`: cancel the jobs of a row."""

from __future__ import annotations

from sgr.jobs.inspect.cancel import cancel
from sgr.machine import settings


def main(row: str) -> None:
    """Cancel what is queued or runs of a row, and say what was done."""
    done = cancel(settings().store, row)
    print("\n".join(done) or f"{row}: nothing is queued or runs")
