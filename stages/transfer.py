"""Stage: fine-tune a row of Table 3, one job a seed. `python -m stages.transfer <profile> <row>`."""

from __future__ import annotations

from stages import train
from stages.common import run


def main(profile: str, row: str) -> None:
    """Write work/<profile>/transfer/<row>/<seed>/ and results/<profile>/curves/coco/<row>.csv."""
    train.main(profile, row, kind="transfer")


if __name__ == "__main__":
    run(main, "profile", "row")
