"""Adoption: a result whose code has changed, but not what it computes, is filed under the key of today's code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sgr.errors import UserError
from sgr.files import read_json, write_json
from sgr.jobs.job import Job
from sgr.jobs.locks import locked
from sgr.jobs.provenance import now
from sgr.jobs.store import JobStore, complete, is_finished


def twins(store: JobStore, job: Job) -> Iterator[Job]:
    """The finished jobs of the store that differ from `job` in nothing but their code."""
    for folder in store.folders():
        try:
            found = Job.load(folder)
            if found.key != job.key and _differ_in_code_alone(job, found) and is_finished(folder):
                yield found
        except UserError:
            continue  # of an earlier version, or damaged


def adopt(store: JobStore, job: Job, twin: Job, proof: dict[str, Any]) -> Path:
    """File the result of `twin` under the key of `job` too, and return its folder.

    Whoever calls it has proved that the code of `job` computes the same; `proof`, what was compared, goes into the
    provenance. Killed at any moment, it leaves `job` unfinished or finished, and the twin as it was.

    Raises UserError if the two differ in more than their code, or if the twin has not finished. Waits while `job` runs.
    """
    if not _differ_in_code_alone(job, twin):
        raise UserError(f"job {twin.key} ({twin.kind.name}) differs from job {job.key} in more than its code")
    folder = store.folder(job)
    with locked(folder):
        if store.finished(job):
            return folder
        job.save(folder)
        store.take(twin, job.kind.artefacts, folder)
        origin = store.identity(twin)
        record = read_json(store.folder(twin) / "provenance.json")
        said = {"from": twin.key, "origin": origin, "adopted": now(), **proof}
        write_json(folder / "provenance.json", {**record, "adopted": said})
        write_json(folder / "adopted.json", {"origin": origin})
        (folder / "failed.json").unlink(missing_ok=True)
        complete(folder, job.kind.artefacts)
    return folder


def _differ_in_code_alone(job: Job, other: Job) -> bool:
    return replace(other, code=job.code).key == job.key
