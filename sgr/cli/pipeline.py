"""`python -m sgr pipeline`: the dvc.yaml files that follow from the parameters."""

from __future__ import annotations

from pathlib import Path

from sgr.plan.params import load
from sgr.plan.pipeline import write


def main() -> None:
    """Write them, and name those that changed."""
    changed = write(load(Path("params.yaml")), Path.cwd())
    print("\n".join(map(str, changed)) or "every dvc.yaml is that of the parameters")
