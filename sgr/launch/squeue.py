"""Follow jobs in SLURM's queue.

A job's SLURM name holds its content key, so any process that can ask squeue finds it again, also after job
ids were reused, and without SLURM's accounting. Whether it has finished is for its done.json to say.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from sgr.errors import UserError
from sgr.launch.failure import failure, interrupted
from sgr.launch.progress import progress
from sgr.launch.store import is_finished
from sgr.launch.waiting import Queued, describe

SLOWEST_POLL_SECONDS = 15.0
SILENCE_SECONDS = 600
SETTLE_SECONDS = 10


def active(folders: Iterable[Path]) -> dict[Path, Queued]:
    """Those of the job folders that SLURM holds. Raises UserError if squeue does not answer."""
    names = {job_name(folder): folder for folder in folders}
    if not names or shutil.which("squeue") is None:
        return {}
    listed = ask("squeue", "--noheader", f"--name={','.join(names)}", "--format=%A|%T|%r|%N|%j")
    found = {}
    for line in listed.splitlines():
        identity, state, reason, node, name = line.split("|", 4)
        if name in names:
            found[names[name]] = Queued(
                identity, f"{state} ({reason})" if state == "PENDING" else state, node
            )
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
    # The queue has let go of the job. Over NFS its last file may show a little later than that.
    state = _end_state(identity)
    deadline = time.monotonic() + (SETTLE_SECONDS if state in ("COMPLETED", "FAILED") else 0)
    while not is_finished(folder):
        if (folder / "failed.json").exists() or time.monotonic() >= deadline:
            log = folder / "submitit" / f"{identity}_0_log.out"
            raise failure(folder, f"ended as {state} in SLURM job {identity}", log)
        time.sleep(0.5)


def _end_state(identity: str) -> str:
    try:
        shown = ask("scontrol", "show", "job", "--oneliner", identity)
    except UserError:
        return "UNKNOWN"
    return next(
        (word.removeprefix("JobState=") for word in shown.split() if word.startswith("JobState=")), "UNKNOWN"
    )


def job_name(folder: Path) -> str:
    """The SLURM name of the job in `folder`."""
    return f"sgr-{folder.name}"


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
