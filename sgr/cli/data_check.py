"""Are the datasets whole? `python -m sgr.cli.data_check [--deep] [DATASET…]`."""

from __future__ import annotations

import argparse
import sys

from sgr.errors import UserError
from stages.common import own_folder


def main(datasets: list[str], deep: bool) -> int:
    """Say of each dataset what is missing from its folder; without names, of those that are there. The exit status."""
    from sgr.datasets import describe, names
    from sgr.download.check import check

    for name in datasets:
        describe(name)
    failed = False
    for name in datasets or names():
        folder = own_folder(name)
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("datasets", nargs="*", metavar="DATASET")
    parser.add_argument("--deep", action="store_true", help="decode every file, not a few of each folder")
    arguments = parser.parse_args()
    try:
        sys.exit(main(arguments.datasets, arguments.deep))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
