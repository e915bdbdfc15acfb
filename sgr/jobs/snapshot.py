"""The copy of the project's package that a job runs from: editing the code meanwhile does not change the job."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sgr.errors import UserError
from sgr.jobs.job import Job
from sgr.jobs.project import Project


def snapshot(store: Path, project: Project, jobs: Iterable[Job] = ()) -> Path:
    """Folder `<store>/code/<hash of the content>` with the package as it is now; jobs share it.

    Raises UserError if that is not the code which the content keys of `jobs` were made from.
    """
    folder = _copy(store, project.package)
    check_code(jobs, project, folder)
    return folder


def check_code(jobs: Iterable[Job], project: Project, root: Path | None = None) -> None:
    """Compare the meaning of each source that a job names with that of the file below `root`, the project's own.

    Raises UserError naming the first that is another: a result would be kept under the key of other code.
    """
    root = root or project.package.parent
    planned = {source for job in jobs for source in job.code.sources.items()}
    for path, meaning in sorted(planned):
        if project.settled.get(path, _meaning(root / path, project)) != meaning:
            raise UserError(
                f"{path} changed since the plan was made: run {project.planned_by}, then this again"
            )


def _meaning(path: Path, project: Project) -> str | None:
    try:
        return project.meaning(path.read_bytes())
    except (FileNotFoundError, SyntaxError):  # removed, or just being written
        return None


def _copy(store: Path, package: Path) -> Path:
    files = {path.relative_to(package.parent).as_posix(): path.read_bytes() for path in _sources(package)}
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    folder = store / "code" / digest.hexdigest()[:16]
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".aside-", dir=folder.parent))
    aside.chmod(0o755)
    for name, content in files.items():
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        (aside / name).write_bytes(content)
    try:
        aside.rename(folder)
    except OSError:
        # Another process made the same copy first.
        shutil.rmtree(aside)
    return folder


def environment(code: Path, threads: int | None) -> dict[str, str]:
    """Variables for a job's own process: import from the snapshot, not the current folder; use `threads`."""
    paths = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    if threads is not None:
        # Libraries read these when they are loaded: setting them later is too late.
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        variables |= {name: str(threads) for name in names}
    return variables


def _sources(package: Path) -> list[Path]:
    if package.is_file():
        return [package]
    found = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path for path in found if path.suffix != ".pyc" and not path.name.startswith("."))
