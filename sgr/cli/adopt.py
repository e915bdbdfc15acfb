"""Adopt finished trainings after a refactoring, instead of training anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sgr.errors import UserError

if TYPE_CHECKING:
    from sgr.jobs.job import Job
    from sgr.jobs.store import JobStore
    from sgr.plan.params import Params

SWEEP = "sweep"


def main(rows: Sequence[str]) -> int:
    """Prove and adopt the trainings of these rows, of all rows without one; the exit status is 1 if one is refused."""
    from sgr.machine import settings
    from sgr.plan.params import load

    params = load(Path("params.yaml"))
    store, refused = settings().store, 0
    for row in rows or [*params.rows, *params.transfer]:
        for job in trainings(params, row):
            name = f"{job.row} seed {job.seed}"
            try:
                print(f"{name}: {adopted(store, job)}", flush=True)
            except UserError as error:
                print(f"{name}: not adopted: {error}", flush=True)
                refused += 1
    return int(refused > 0)


def trainings(params: Params, row: str) -> Iterator[Job]:
    """The training jobs of a row, of Table 3 too, or of all pairs of the sweep, as the plan is now."""
    from sgr.plan.jobs import jobs_of, sweep

    if row == SWEEP:
        for jobs, _ in sweep(params.profile, params.rows[params.sweep.row].dataset).values():
            yield from jobs.values()
        return
    kind = "train" if row in params.rows else "transfer"
    if row not in params.rows and row not in params.transfer:
        known = ", ".join((*params.rows, *params.transfer, SWEEP))
        raise UserError(f"params/rows.yaml: there is no row {row!r}, the rows are {known}")
    yield from jobs_of(kind, params.profile, row).values()


def adopted(store: JobStore, job: Job) -> str:
    """Adopt the newest finished training that proves to be the same; what was done, in words.

    Raises:
        UserError: why none was adopted.
    """
    from sgr.jobs import adoption
    from sgr.jobs.job import Job as AnyJob

    if store.finished(job):
        return "nothing to adopt, it has finished with today's code"
    reasons = {}
    for folder in adoption.candidates(store, job):
        from sgr.training.proof import prove

        try:
            proof = prove(job, folder)
        except UserError as error:
            reasons[folder.name] = str(error)
            continue
        changed = adoption.other_sources(AnyJob.load(folder), job)
        adoption.adopt(store, job, folder, {**proof, "sources": changed})
        numbers = ", ".join(map(str, proof["iterations"]))
        return (
            f"adopted {folder.name} as {job.key}: {proof['tensors']} tensors and {len(proof['losses'])} losses equal "
            f"after iterations {numbers}; changed: {', '.join(changed)}"
        )
    if not reasons:
        raise UserError("no finished training has its settings, inputs and libraries: `dvc repro` trains it")
    raise UserError("; ".join(f"{key}: {why}" for key, why in reasons.items()))
