"""Command: draw mIoU against sgr.K and sgr.L from finished experiments. `python -m stages.sweep`."""

from __future__ import annotations

from stages.common import run


def main() -> None:
    """Write results/<profile>/figures/sweep_<dataset>.png."""
    from sgr.report.sweep import NONE_FOUND, write_sweeps

    written = write_sweeps()
    print("\n".join(str(path) for path in written) or NONE_FOUND)


if __name__ == "__main__":
    run(main)
