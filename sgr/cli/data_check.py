"""`sgr data-check`: are the datasets whole?"""

from __future__ import annotations

from collections.abc import Sequence

from sgr.datasets import names
from sgr.download.check import check
from sgr.errors import UserError
from sgr.machine import settings


def main(datasets: Sequence[str], deep: bool = False) -> int:
    """Say of each dataset what is missing from its folder; without names, of those that are there. The exit status."""
    unknown = [name for name in datasets if name not in names()]
    if unknown:
        raise UserError(f"there is no dataset {unknown[0]!r}: use {', '.join(names())}")
    machine, failed = settings(), False
    for name in datasets or names():
        folder = machine.dataset(name)
        if not datasets and not folder.is_dir():
            print(f"{name}: not on this machine (no {folder})")
            continue
        report = check(name, folder, deep)
        counts = (f"{here} of {of} {kind}s in {split}" for (split, kind), (here, of) in report.counts.items())
        print(f"{name}: {folder}: {', '.join(counts) or 'nothing'}")
        for note in report.notes:
            print(f"  note: {note} (nothing here reads it)")
        for problem in report.problems:
            print(f"  missing: {problem}")
        print("  whole" if not report.problems else f"  {len(report.problems)} to mend")
        failed = failed or bool(report.problems)
    return int(failed)
