"""The tables: paper beside ours, as Markdown and CSV."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from sgr.errors import UserError
from sgr.files import write_bytes
from sgr.plan.params import load

from .markdown import notice
from .results import profile_folder

TABLES = ("table1", "table2", "table3", "table4", "table_camvid")
OF_TRANSFER = ("table3",)


def write_table(
    profile: str, table: str, results: Path = Path("results"), params: Path = Path("params.yaml")
) -> None:
    """Write results/<profile>/<table>.md and .csv; the CSV file holds every digit.

    Args:
        params: whose rows stand in the tables beside the paper's.

    Raises:
        UserError: an unknown table, a missing folder of results or a malformed result.
    """
    if table not in TABLES:
        raise UserError(f"there is no table {table!r}: the tables are {', '.join(TABLES)}")
    folder = profile_folder(results, profile)
    checked = load(params)
    rows = checked.transfer if table in OF_TRANSFER else checked.rows
    frame, text = import_module(f"sgr.report.{table}").build(folder, rows)
    csv = frame.to_csv(index=False, lineterminator="\n")
    write_bytes(folder / f"{table}.csv", csv.encode())
    write_bytes(folder / f"{table}.md", f"{notice(profile)}\n\n{text}".encode())
