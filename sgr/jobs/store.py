"""The job store: one folder a content key, whole only once its done.json is there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sgr.errors import UserError
from sgr.files import open_aside, read_json, sha256_file, write_json
from sgr.jobs.failure import is_full
from sgr.jobs.job import Job

KEY = "[0-9a-f]" * 32  # what a job's folder is called
PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class JobStore:
    """Job folders below `root`."""

    root: Path

    def check(self) -> None:
        """Raise UserError if what stands at the root is no folder: a file, or a link that leads to none."""
        if os.path.lexists(self.root) and not self.root.is_dir():
            raise UserError(self._useless("is no folder"))

    def make(self) -> None:
        """Make the root. Raises UserError if it cannot be, or nothing can be written to it."""
        self.check()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            if is_full(error):
                raise
            why = f"cannot be written to ({error.strerror})" if self.root.is_dir() else "is no folder"
            raise UserError(self._useless(why)) from None

    def _useless(self, why: str) -> str:
        return f"{self.root}, where jobs are kept, {why}: mend that, or set `jobs` in cluster.yaml to another folder"

    def folder(self, job: Job) -> Path:
        """`<root>/<key>`, which may not exist yet."""
        return self.root / job.key

    def folders(self) -> Iterator[Path]:
        """The folders that were prepared for a job."""
        return (path.parent for path in sorted(self.root.glob(f"{KEY}/job.json")))

    def finished(self, job: Job) -> bool:
        """Whether the job's artefacts are there and whole; see `is_finished`.

        Raises UserError too if they are those of another job.
        """
        folder = self.folder(job)
        if not is_finished(folder):
            return False
        try:
            held = Job.known(folder).key
        except UserError:
            raise UserError(f"{folder}/job.json is missing or damaged: {_again(folder)}") from None
        if held != job.key:
            raise UserError(f"{folder} holds the result of job {held}: delete this folder to run {job.key}")
        return True

    def ready(self, job: Job) -> bool:
        """Whether the jobs that must finish first have finished."""
        return all(self.finished(first) for first in job.after)

    def identity(self, job: Job) -> str:
        """What jobs that start from this one's result name in their `inputs`.

        It is the key, or for an adopted result the key that it was first filed under: what was made from it stays.
        """
        return identity(self.folder(job)) if self.finished(job) else job.key

    def prepare(self, job: Job, launch: dict[str, Any]) -> Path:
        """Write what a worker reads, job.json, where.json and launch.json; what was before an attempt is forgotten."""
        folder = self.folder(job)
        job.save(folder)
        write_json(folder / "launch.json", launch)
        (folder / "failed.json").unlink(missing_ok=True)
        return folder

    def provenance(self, job: Job) -> dict[str, Any]:
        """How a finished job came about. Raises UserError if it has not finished, or its provenance.json changed."""
        self._check_finished(job)
        return provenance(self.folder(job))

    def take(self, job: Job, names: Iterable[str], into: Path) -> list[Path]:
        """Copy artefacts of a finished job to `into/<name>`, each checked against its SHA-256 on the way.

        Copies, not links: nobody who edits or deletes a stage's output can then harm the store.
        Raises UserError if the job is not finished, has no such artefact, or an artefact was changed.
        """
        folder = self.folder(job)
        self._check_finished(job)
        recorded = read_json(folder / "done.json")
        taken = []
        for name in names:
            if name not in recorded:
                raise UserError(
                    f"job {job.key} ({job.kind.name}) has no {name}, it has {', '.join(recorded)}"
                )
            _copy(folder / name, into / name, recorded[name]["sha256"])
            taken.append(into / name)
        return taken

    def _check_finished(self, job: Job) -> None:
        if not self.finished(job):
            raise UserError(f"job {job.key} ({job.kind.name}) has not finished")


def complete(folder: Path, names: Iterable[str]) -> None:
    """Write done.json, the last file of a job: bytes and SHA-256 of every artefact, and of provenance.json."""
    artefacts = {}
    for name in sorted({*names, PROVENANCE}):
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or not (folder / name).is_file():
            raise FileNotFoundError(f"the job names the artefact {name}, which is no file below {folder}")
        size = (folder / name).stat().st_size
        artefacts[name] = {"bytes": size, "sha256": sha256_file(folder / name)}
    write_json(folder / "done.json", artefacts)


def is_finished(folder: Path) -> bool:
    """True if done.json is there and every artefact it lists has the recorded size.

    Raises UserError if done.json is there but does not match: somebody changed the folder. Running the job
    again by itself could cost days, so that is left to the user.
    """
    if not (folder / "done.json").exists():
        return False
    try:
        recorded = {name: int(entry["bytes"]) for name, entry in read_json(folder / "done.json").items()}
    except (UserError, AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{folder}/done.json is damaged: delete it to run the job again") from None
    for name, size in recorded.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            what = "is missing" if found is None else f"has {found} bytes instead of {size}"
            raise UserError(f"{path} {what}: {_again(folder)}")
    return True


def provenance(folder: Path) -> dict[str, Any]:
    """How the finished job of a folder came about. Raises UserError if provenance.json is not what was written."""
    file, recorded = folder / PROVENANCE, read_json(folder / "done.json")
    if PROVENANCE not in recorded or sha256_file(file) != recorded[PROVENANCE]["sha256"]:
        raise _changed(file)
    found: dict[str, Any] = read_json(file)
    return found


def identity(folder: Path) -> str:
    """What jobs that start from the finished job of a folder name in their `inputs`; see `JobStore.identity`."""
    adopted = provenance(folder).get("adopted")
    return str(adopted["origin"]) if adopted else folder.name


def _changed(file: Path) -> UserError:
    return UserError(f"{file} changed after its job finished: {_again(file.parent)}")


def _again(folder: Path) -> str:
    return f"delete {folder}/done.json to run the job again"


def _copy(source: Path, target: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    with open(source, "rb") as file, open_aside(target) as copy:
        while block := file.read(1 << 20):
            digest.update(block)
            copy.write(block)
        if digest.hexdigest() != sha256:
            raise _changed(source)
