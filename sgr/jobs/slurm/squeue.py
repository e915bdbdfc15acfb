"""Follow jobs in SLURM's queue.

The SLURM name of a submission is unique and stands in slurm.json of its jobs, so any process that can ask squeue finds
them again, without SLURM's accounting; an id alone is never trusted, since SLURM may give it to another job. Whether a
job has finished is for its done.json to say.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs.failure import JobError, ended_in_slurm, failure, interrupted
from sgr.jobs.run.progress import progress
from sgr.jobs.run.status import Queued, describe
from sgr.jobs.store import is_finished

SLOWEST_POLL_SECONDS = 15.0
SILENCE_SECONDS = 600
SETTLE_SECONDS = 10


def active(folders: Iterable[Path]) -> dict[Path, Queued]:
    """Those of the job folders that SLURM holds. Raises UserError if squeue does not answer."""
    asked: dict[tuple[str, int | None], tuple[Path, str | None]] = {}
    for folder in folders:
        record = read_json(folder / "slurm.json") if (folder / "slurm.json").exists() else {}
        # a folder that was copied from another job's tells of that job
        if record.get("key") == folder.name:
            asked[record["submission"], record["index"]] = folder, record["id"]
    if not asked or shutil.which("squeue") is None:
        return {}
    names = ",".join(sorted({name for name, _ in asked}))
    listed = ask("squeue", "--noheader", "--array", f"--name={names}", "--format=%F|%K|%T|%r|%N|%j")
    found = {}
    for line in listed.splitlines():
        array, index, state, reason, node, name = line.split("|", 5)
        element = int(index) if index.isdigit() else None
        identity = array if element is None else f"{array}_{element}"
        if (name, element) in asked:
            folder, recorded = asked[name, element]
            if recorded in (None, identity):
                found[folder] = Queued(identity, f"{state} ({reason})" if state == "PENDING" else state, node)
    return found


def wait(queue: Mapping[Path, str]) -> None:
    """Wait until every job of `queue` (folder -> SLURM job id) has finished.

    Raises JobError for the first that ended without a result. Ctrl-C leaves the jobs alone: exit status 130.
    """
    waiting, pause, answered = dict(queue), 0.5, time.monotonic()
    try:
        with progress() as show:
            while waiting:
                try:
                    # Asked before done.json is looked at: a job that is in neither has failed.
                    listed = active(waiting)
                    answered = time.monotonic()
                except UserError:
                    if time.monotonic() - answered > SILENCE_SECONDS:
                        raise
                    listed = None
                    show("SLURM does not answer: waiting for it")
                waiting = {
                    folder: identity for folder, identity in waiting.items() if not is_finished(folder)
                }
                if listed is not None:
                    for folder in waiting.keys() - listed.keys():
                        _settle(folder, waiting.pop(folder))
                    show(describe(listed))
                if waiting:
                    time.sleep(pause)
                    pause = min(pause * 1.3, SLOWEST_POLL_SECONDS)
    except KeyboardInterrupt:
        running = ", ".join(waiting.values())
        raise interrupted(
            f"SLURM jobs {running} run on: run the command again to attach to them, or scancel them"
        ) from None


def _settle(folder: Path, identity: str) -> None:
    if not (folder / "slurm.json").exists():
        raise JobError(
            f"{folder} was deleted while SLURM job {identity} was to fill it: scancel {identity} and run it again"
        )
    # The queue has let go of the job. Over NFS its last file may show a little later than that.
    log = output(folder)
    ending = ended_in_slurm(identity, _fields(identity), log)
    deadline = time.monotonic() + (0 if ending.explained else SETTLE_SECONDS)
    while not is_finished(folder):
        if (folder / "failed.json").exists() or time.monotonic() >= deadline:
            raise failure(folder, ending, log)
        time.sleep(0.5)


def _fields(identity: str) -> dict[str, str]:
    try:
        shown = ask("scontrol", "show", "job", "--oneliner", identity)
    except UserError:
        return {}
    return dict(word.split("=", 1) for word in shown.split() if "=" in word)


def await_answer() -> None:
    """Wait until SLURM answers, which a restart of its controller takes a while. Raises UserError if it does not."""
    deadline = time.monotonic() + SILENCE_SECONDS
    with progress() as show:
        while True:
            try:
                ask("squeue", "--noheader", "--name=none")
                return
            except UserError:
                if time.monotonic() > deadline:
                    raise
            show("SLURM does not answer: waiting for it")
            time.sleep(1)


def submission_folder(store: Path, submission: str) -> Path:
    """Where submitit keeps the script, pickles and output of the jobs that were submitted under a name."""
    return store / "submissions" / submission


def output(folder: Path) -> Path:
    """The file of what a job, the last that slurm.json of its folder tells of, printed under SLURM."""
    from submitit.core.utils import JobPaths

    record = read_json(folder / "slurm.json")
    return JobPaths(submission_folder(folder.parent, record["submission"]), str(record["id"])).stdout


def complaint(output: str) -> str:
    """What a SLURM command objects to, without its decoration."""
    marked = [line.split("error: ", 1)[1] for line in output.splitlines() if "error: " in line]
    return "; ".join(marked) or (output.strip() or "no reason given").splitlines()[-1]


def ask(*command: str) -> str:
    """Output of a SLURM command. Raises UserError if it fails or hangs."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    except subprocess.CalledProcessError as error:
        raise UserError(
            f"{command[0]} failed: {complaint(error.stderr or f'status {error.returncode}')}"
        ) from None
    except (OSError, subprocess.TimeoutExpired):
        raise UserError(f"{command[0]} does not answer: is SLURM up?") from None
