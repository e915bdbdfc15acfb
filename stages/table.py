"""Stage: write one table. `python -m stages.table <profile> <table>`."""

from __future__ import annotations

from stages.common import run


def main(profile: str, table: str) -> None:
    """Write results/<profile>/<table>.md and .csv, and summary/<table>.json."""
    from sgr.report.tables import write_table

    write_table(profile, table)


if __name__ == "__main__":
    run(main, "profile", "table")
