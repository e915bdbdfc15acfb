"""Stage: mIoU of a row. `python -m stages.evaluate <profile> <row>`."""

from __future__ import annotations

from stages.common import run, run_and_take, write_result


def main(profile: str, row: str) -> None:
    """Write results/<profile>/<dataset>/<row>.json, one entry a seed."""
    entry, *_ = run_and_take("evaluate", profile, row)
    write_result("evaluate", profile, entry, "metrics.json")


if __name__ == "__main__":
    run(main, "profile", "row")
