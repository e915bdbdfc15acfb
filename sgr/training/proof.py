"""Whether today's code trains as the code of a finished training did: its first iterations again, bit for bit."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from sgr.device import name as device_name
from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs.call import call
from sgr.jobs.job import Job
from sgr.training.fingerprint import difference

NEVER = 1e9  # seconds


def prove(job: Job, folder: Path) -> dict[str, Any]:
    """Run the first iterations of a training job and compare them with the fingerprint in `folder`.

    Returns what was compared.

    Raises:
        UserError: where the two part, or if the finished training ran on another kind of device or on several ranks.
    """
    about = read_json(folder / "provenance.json")
    ran_on, here = about.get("device", "an unknown device"), device_name()
    if ran_on != here:
        raise UserError(
            f"it was trained on {ran_on}, and this machine has {here}: adopt it on a machine of that kind"
        )
    if (ranks := about.get("ranks", 1)) != 1:
        raise UserError(f"it was trained on {ranks} ranks, whose sums one process cannot repeat bit for bit")
    former = read_json(folder / "fingerprint.json")
    found = fingerprint(job, last=max(map(int, former)))
    if former.keys() != found.keys():
        recorded, today = (", ".join(sorted(one, key=int)) for one in (former, found))
        raise UserError(f"its fingerprint is of iterations {recorded}, that of today's code of {today}")
    if parted := difference(former, found):
        if here != "cpu" and (again := difference(found, fingerprint(job, last=max(map(int, found))))):
            raise UserError(
                f"nothing can be proved on {here}, which does not repeat itself: {again} differs between two runs of "
                "today's code"
            )
        raise UserError(f"it does not train the same: {parted} differs")
    bits = former[max(former, key=int)]
    return {
        "iterations": sorted(map(int, former)),
        "losses": sorted(bits["losses"]),
        "tensors": len(bits["tensors"]),
        "device": here,
    }


def fingerprint(job: Job, last: int) -> dict[str, Any]:
    """The fingerprint of a training job after `last` iterations with today's code; nothing else of it is kept."""
    run = replace(job.where.run, stop_after=last, loader_workers=0, checkpoint_seconds=NEVER)
    # not in the job store, so that a kill leaves nothing there
    with tempfile.TemporaryDirectory(prefix="proof-") as scratch:
        call(replace(job, where=replace(job.where, run=run)), Path(scratch))
        taken: dict[str, Any] = read_json(Path(scratch, "fingerprint.json"))
    return taken
