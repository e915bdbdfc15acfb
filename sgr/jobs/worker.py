"""Run the job of one folder; as a process of its own, `python -m sgr.jobs.worker <folder>`."""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from pathlib import Path
from typing import Any, TextIO, cast

from sgr.errors import UserError
from sgr.files import remove_asides, write_json, write_new_json
from sgr.jobs.call import call
from sgr.jobs.failure import is_full, no_space
from sgr.jobs.job import Job
from sgr.jobs.locks import locked
from sgr.jobs.provenance import launch, now, provenance
from sgr.jobs.startup import spare_collections
from sgr.jobs.store import PROVENANCE, complete, is_finished


def work(
    folder: Path, tee: bool = True, together: Callable[[], AbstractContextManager[None]] = nullcontext
) -> None:
    """Run the job that `JobStore.prepare` wrote into `folder`, unless it has finished; write done.json last.

    A second worker waits for the first and then finds the job finished. The job function resumes from
    the checkpoint it keeps in `folder`. With `tee`, its output also goes to `folder/log.txt`.
    `together` surrounds the job function, once the folder is locked. An error is recorded in failed.json and log.txt,
    then raised.
    """
    with locked(folder):
        if is_finished(folder):
            return
        remove_asides(folder)
        (folder / "failed.json").unlink(missing_ok=True)
        started, clock = now(), time.monotonic()
        heading = f"{started} {socket.gethostname()} pid {os.getpid()}"
        try:
            job, launched = Job.load(folder), launch(folder)
            with open(folder / "attempts.txt", "a") as file:
                file.write(heading + "\n")
            with _logged(folder / "log.txt", tee):
                print(f"--- {job.kind.name} {job.key} started {heading}", flush=True)
                with together():
                    call(job, folder)
            seconds = time.monotonic() - clock
            write_json(folder / PROVENANCE, provenance(folder, job, launched, started, seconds))
            complete(folder, job.kind.artefacts)
        except Exception as error:
            record(folder, error)
            raise


def main(folder: Path) -> int:
    """Exit status of a worker process: 0 done, 2 a user's mistake, 1 any other error (logged)."""
    from sgr.jobs.ranks import run

    spare_collections()
    try:
        run(folder, tee=False)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Exception:
        return 1
    return 0


def record(folder: Path, error: Exception) -> None:
    """Write failed.json, unless another rank of the job was first, and add the traceback to log.txt.

    What the disk has no room for is left out.
    """
    text = "".join(traceback.format_exception(error))
    sentence = str(error) if isinstance(error, UserError) else no_space(folder) if is_full(error) else None
    with suppress(OSError):
        write_new_json(folder / "failed.json", {"failed": now(), "sentence": sentence, "traceback": text})
    with suppress(OSError), open(folder / "log.txt", "a") as log:
        log.write(text)


@contextmanager
def _logged(path: Path, tee: bool) -> Iterator[None]:
    if not tee:
        yield
        return
    with open(path, "a", buffering=1) as log:
        out, err = cast(TextIO, _Tee(sys.stdout, log)), cast(TextIO, _Tee(sys.stderr, log))
        with redirect_stdout(out), redirect_stderr(err):
            yield


class _Tee:
    """A text stream that also writes to a log; everything else is the stream's own."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        self._log.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._log.flush()
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
