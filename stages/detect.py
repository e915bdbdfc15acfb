"""Stage: box and mask AP of a row of Table 3. `python -m stages.detect <profile> <row>`."""

from __future__ import annotations

from stages.common import run, run_and_take, write_result


def main(profile: str, row: str) -> None:
    """Write results/<profile>/coco/<row>.json, one entry a seed."""
    entry, *_ = run_and_take("detect", profile, row)
    write_result("detect", profile, entry, "metrics.json")


if __name__ == "__main__":
    run(main, "profile", "row")
