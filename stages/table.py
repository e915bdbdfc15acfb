"""Stage: write one table. `python -m stages.table <profile> <table>`."""

from __future__ import annotations

from stages.common import run


def main(profile: str, table: str) -> None:
    """Write results/<profile>/<table>.md and .csv, and summary/<table>.json."""
    from sgr.plan.entry import read
    from sgr.report.settings import TableSettings
    from sgr.report.tables import tables, write_table

    settings = read(TableSettings, profile, "table", table).settings
    write_table(profile, table, tables(settings.datasets)[table](), settings.rows)


if __name__ == "__main__":
    run(main, "profile", "table")
