"""`python -m sgr watch`: show trainings while they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sgr.errors import UserError
from sgr.machine import settings
from sgr.plan.params import load
from sgr.watch.watch import watch


def main(rows: Sequence[str], images: int | None = None, device: str = "cpu") -> None:
    """Gather the curves of what trains in dvclive/, and measure its mIoU, until Ctrl-C.

    Args:
        rows: as in params/rows.yaml; none means all.
        images: to measure on at each checkpoint, 0 for none; by itself `watch_images` of cluster.yaml.
        device: of the measured networks.

    Raises:
        UserError: for a row that is in no table, fewer images than none, or a device that torch does not have.
    """
    params, machine = load(Path("params.yaml")), settings()
    known = [*params.rows, *params.transfer]
    if unknown := [row for row in rows if row not in known]:
        raise UserError(f"there is no row {unknown[0]} in params/rows.yaml")
    if images is not None and images < 0:
        raise UserError(f"--images {images}: must be 0 or more")
    if device not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: must be cpu or cuda")
    chosen = (machine.watch_images or 0) if images is None else images
    watch(machine.store, rows, params.profile, chosen, device, machine.tensorboard)
