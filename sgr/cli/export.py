"""`python -m sgr export`: a trained row in files that other programs read."""

from __future__ import annotations

import sys
from pathlib import Path

from sgr.cli.console import relative
from sgr.cli.trained import network, trained


def main(row: str, out: Path | None, seed: int | None, profile: str | None) -> None:
    """Write exports/<row>, or `out`, and say what is in it."""
    found = trained(row, seed, profile)
    from sgr.use.export import export, obstacles

    made = network(found)
    for path in export(made, (out or Path("exports", row)).absolute()):
        print(f"{relative(path)}: {path.stat().st_size / 1e6:.1f} MB")
    for name, why in obstacles(made).items():
        print(f"{row}: no {name}: {why}", file=sys.stderr)
