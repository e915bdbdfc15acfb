"""Stage: check params.yaml and resolve it. `python -m stages.plan`."""

from __future__ import annotations

import shutil
from pathlib import Path

from stages.common import run


def main() -> None:
    """Write work/<profile>/plan/<stage>/<key>.json for every stage of every row, dataset and backbone."""
    from sgr.plan.entries import entries
    from sgr.plan.entry import write
    from sgr.plan.params import load
    from sgr.plan.pipeline import check

    params = load(Path("params.yaml"))
    check(params, Path.cwd())
    found = entries(params, Path.cwd())
    shutil.rmtree(Path("work", params.profile, "plan"), ignore_errors=True)
    for name, entry in found.items():
        stage, _, key = name.partition("/")
        write(entry, params.profile, stage, key)
    print(f"profile {params.profile}: {len(params.rows)} rows on {len(params.datasets)} datasets")


if __name__ == "__main__":
    run(main)
