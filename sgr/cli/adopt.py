"""Adopt finished trainings after a refactoring, instead of training anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sgr.errors import UserError

if TYPE_CHECKING:
    from sgr.jobs.job import Job
    from sgr.jobs.store import JobStore
    from sgr.plan.entries import Entries
    from sgr.plan.params import Params

SWEEP = "sweep"


def main(rows: Sequence[str]) -> int:
    """Prove and adopt the trainings of these rows, of all rows without one; the exit status is 1 if one is refused.

    They are planned here, from the code as it is now: `dvc repro plan` need not have run.
    """
    from sgr.machine import settings
    from sgr.plan.entries import entries
    from sgr.plan.params import load

    params = load(Path("params.yaml"))
    known = [*params.rows, *params.transfer]
    for row in rows:
        if row not in (*known, SWEEP):
            raise UserError(
                f"params/rows.yaml: there is no row {row!r}, the rows are {', '.join((*known, SWEEP))}"
            )
    planned, store, refused = entries(params, Path.cwd()), settings().store, 0
    for row in rows or known:
        try:
            jobs = list(trainings(params, planned, row))
        except UserError as error:  # an input is missing
            print(f"{row}: not adopted: {error}", flush=True)
            refused += 1
            continue
        for job in jobs:
            name = f"{job.row} seed {job.seed}"
            try:
                print(f"{name}: {adopted(store, job)}", flush=True)
            except UserError as error:
                print(f"{name}: not adopted: {error}", flush=True)
                refused += 1
    return int(refused > 0)


def trainings(params: Params, planned: Entries, row: str) -> Iterator[Job]:
    """The training jobs of a row, of Table 3 too, or of all pairs of the sweep."""
    from sgr.plan.jobs import of_entry, pairs, train

    if row == SWEEP:
        dataset = params.rows[params.sweep.row].dataset
        for to_train, _ in pairs(planned[f"sweep/{dataset}"]).values():
            yield from train(params.profile, to_train).values()
        return
    kind = "train" if row in params.rows else "transfer"
    yield from of_entry(kind, params.profile, planned[f"{kind}/{row}"], {}).values()


def adopted(store: JobStore, job: Job) -> str:
    """Adopt the newest finished training that proves to be the same; what was done, in words.

    Raises:
        UserError: why none was adopted.
    """
    from sgr.jobs import adoption
    from sgr.jobs.job import Job as AnyJob
    from sgr.jobs.snapshot import check_code
    from sgr.project import PROJECT

    check_code([job], PROJECT)  # what is proved is the code that is imported here
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
