"""File a finished result under the key of other code, which has proved to compute the same.

What counts as a proof is the project's own. Settings, seed, inputs and libraries must be the same: only sources differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sgr.errors import UserError
from sgr.files import remove_asides, write_json
from sgr.jobs.job import Job
from sgr.jobs.locks import locked
from sgr.jobs.provenance import LAUNCHED, now
from sgr.jobs.store import PROVENANCE, JobStore, complete, is_finished


def candidates(store: JobStore, job: Job) -> Iterator[Path]:
    """Folders of finished jobs that differ from `job` in their sources alone, the newest first."""
    found = [folder for folder in store.folders() if folder != store.folder(job) and _finished(folder)]
    for folder in sorted(found, key=lambda folder: -(folder / "done.json").stat().st_mtime):
        if _alike(Job.known(folder), job):
            yield folder


def other_sources(first: Job, second: Job) -> list[str]:
    """The files in which the code of two jobs differs."""
    one, other = first.code.sources, second.code.sources
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def adopt(store: JobStore, job: Job, folder: Path, proof: dict[str, Any]) -> None:
    """File the result in `folder` under the key of `job`; `proof` says what was compared.

    done.json comes last: killed before that, the job has no result, and the old one is as it was. Raises UserError if
    the two differ in more than their sources, or the old one has not finished or was changed.
    """
    former = Job.known(folder)
    if not _alike(former, job):
        raise UserError(
            f"job {former.key} differs from job {job.key} in more than its sources: it is not adopted"
        )
    into = store.folder(job)
    with locked(into):
        if is_finished(into):
            return
        remove_asides(into)
        about = store.provenance(former)
        record = {"origin": store.identity(former), "from": former.key, "adopted": now(), **proof}
        store.prepare(job, {name: about.get(name) for name in LAUNCHED})
        store.take(former, job.kind.artefacts, into)
        write_json(into / PROVENANCE, {**about, "adopted": record})
        complete(into, job.kind.artefacts)


def _finished(folder: Path) -> bool:
    try:
        Job.known(folder)
        return is_finished(folder)
    except UserError:
        return False  # damaged, or of another version


def _alike(first: Job, second: Job) -> bool:
    of_first = replace(first, code=replace(first.code, sources=second.code.sources))
    return of_first.key == second.key
