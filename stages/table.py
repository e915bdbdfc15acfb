"""Stage: write one table. `python -m stages.table <profile> <table>`."""

from __future__ import annotations

from stages.common import run


def main(profile: str, name: str) -> None:
    """Write results/<profile>/<table>.md and .csv, and summary/<table>.json."""
    from sgr.plan.entry import read
    from sgr.plan.stage_settings import TableSettings
    from sgr.report.tables import tables, write_table

    settings = read(TableSettings, profile, "table", name).settings
    write_table(profile, name, tables(settings.datasets)[name], settings.rows)


if __name__ == "__main__":
    run(main, "profile", "table")
