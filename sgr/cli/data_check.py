"""`python -m sgr data-check`: are the datasets whole?"""

from __future__ import annotations

from collections.abc import Sequence

from sgr.datasets import describe, names
from sgr.download.check import check
from sgr.download.layout import KINDS
from sgr.plan.inputs import own_folder


def main(datasets: Sequence[str], deep: bool = False) -> int:
    """Say of each dataset what is missing from its folder; without names, of those that are there. The exit status."""
    for name in datasets:
        describe(name)  # a wrong name ends the command before anything is read
    failed = False
    for name in datasets or names():
        folder = own_folder(name)
        if not datasets and not folder.is_dir():
            print(f"{name}: not on this machine (no {folder})")
            continue
        report = check(name, folder, deep)
        counts = (
            f"{here} of {of} {KINDS[kind][1]} in {split}"
            for (split, kind), (here, of) in report.counts.items()
        )
        print(f"{name}: {folder}: {', '.join(counts) or 'nothing'}")
        for note in report.notes:
            print(f"  note: {note} (nothing here reads it)")
        for problem in report.problems:
            print(f"  problem: {problem}")
        print("  whole" if not report.problems else f"  {len(report.problems)} to mend")
        failed = failed or bool(report.problems)
    return int(failed)
