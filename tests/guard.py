"""Nothing that the tests start outlives them, whatever ends them: a plugin of pytest, and a guard that it starts.

What a session starts carries its mark, a process in its environment and a SLURM job as its wckey. Whatever carries it
when the tests have ended is named, and fails them. The guard sees pytest die, of SIGKILL too, and ends what is left.
A SLURM that the tests brought up carries the mark as well and ends with them; one that was up before stays.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

MARK, SLURM_MARK = "PYTEST_SESSION", "SBATCH_WCKEY"
DOWN = Path(__file__).parent / "slurm" / "down.sh"
DAEMONS = ("slurmctld", "slurmd", "munged")
GRACE_SECONDS = 15  # SLURM lets go of a cancelled job after some seconds


def pytest_configure(config: pytest.Config) -> None:
    """Mark what is started from now on; xdist's workers inherit the mark."""
    if hasattr(config, "workerinput"):
        return
    session = Session(uuid.uuid4().hex)
    config.pluginmanager.register(session)
    os.environ.update({MARK: session.mark, SLURM_MARK: session.mark})


class Session:
    """What is done at the end of the session that carries `mark`."""

    def __init__(self, mark: str) -> None:
        self.mark, self.left = mark, list[str]()
        self.guard = subprocess.Popen(
            [sys.executable, __file__, mark, str(os.getpid())],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for it
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail the session for what it left, unless it was interrupted, and end that."""
        self.left = [] if exitstatus == pytest.ExitCode.INTERRUPTED else left(self.mark, self.guard.pid)
        if self.left:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        end(self.mark, self.guard.pid)
        self.guard.kill()
        self.guard.wait()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what was left."""
        if self.left:
            terminalreporter.section("left behind by the tests", red=True)
            terminalreporter.write("".join(f"{line}\n" for line in self.left))


def processes(mark: str, guard: int) -> list[psutil.Process]:
    """Those alive that carry the mark, and the forks of this process, which do not show what it has set since."""
    found = {process for process in psutil.process_iter() if _carries(process, mark)}
    return [
        process
        for process in found | set(psutil.Process().children(recursive=True))
        if not _ends(process, guard)
    ]


def _carries(process: psutil.Process, mark: str) -> bool:
    with suppress(psutil.Error, OSError):
        return bool(process.environ().get(MARK) == mark)
    return False


def _name(process: psutil.Process) -> str:
    """A process's command line; of a daemon its name, and of one that has ended nothing."""
    with suppress(psutil.Error):
        name = process.name()
        return name if name in DAEMONS else " ".join(process.cmdline())[:200]
    return ""


def _ends(process: psutil.Process, guard: int) -> bool:
    """Whether a process has ended or does so with this one: the guard, and the servers of multiprocessing."""
    with suppress(psutil.Error):
        server = process.ppid() == os.getpid() and any(
            "from multiprocessing." in w for w in process.cmdline()
        )
        return process.pid in (os.getpid(), guard) or server or process.status() == psutil.STATUS_ZOMBIE
    return True


def left(mark: str, guard: int, kill: bool = False) -> list[str]:
    """What still carries the mark after a while: processes, but for SLURM's daemons, and SLURM's jobs, a line each.

    kill: whether to end them meanwhile.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    clean = 0
    while True:
        found = [process for process in processes(mark, guard) if _name(process) not in DAEMONS]
        queued = _queued(mark)
        clean = 0 if found + queued else clean + 1
        # a process that is just being replaced by another program shows no environment
        if clean == 2 or time.monotonic() > deadline:
            return [*(f"process {process.pid}: {_name(process)}" for process in found), *queued]
        for process in found if kill else ():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if queued and kill:
            subprocess.run(["scancel", f"--wckey={mark}"], capture_output=True)
        time.sleep(0.2)


def _queued(mark: str) -> list[str]:
    """Jobs in the queue of a SLURM that answers: asked without that, its commands would try for ten seconds."""
    if (
        shutil.which("scontrol") is None
        or subprocess.run(["scontrol", "ping"], capture_output=True).returncode
    ):
        return []
    listed = subprocess.run(["squeue", "--noheader", "--format=%w|%i|%j"], capture_output=True, text=True)
    jobs = (line.strip().split("|", 1) for line in listed.stdout.splitlines())
    return [f"SLURM job {job}" for wckey, job in jobs if wckey == mark]


def end(mark: str, guard: int) -> None:
    """End what carries the mark, the SLURM that the session brought up last."""
    left(mark, guard, kill=True)
    if any(_name(process) in DAEMONS for process in processes(mark, guard)):
        with slurm_to_itself():
            subprocess.run(["bash", str(DOWN)], check=True, capture_output=True)


@contextmanager
def slurm_to_itself() -> Iterator[None]:
    """Of processes side by side one at a time has the machine's test cluster; a name that its holder's death frees."""
    with socket.socket(socket.AF_UNIX) as name:
        while True:
            with suppress(OSError):
                name.bind("\0one-node-slurm")
                break
            time.sleep(0.1)
        yield


def main(mark: str, pid: int) -> None:
    """Wait for the death of process `pid`, then end what it left."""
    with suppress(ProcessLookupError):
        select.select([os.pidfd_open(pid)], [], [])
    end(mark, os.getpid())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
