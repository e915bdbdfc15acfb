"""Go on watching."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence

from sgr.jobs.store import JobStore
from sgr.watch import live
from sgr.watch.board import Board
from sgr.watch.runs import Run, Runs

POLL_SECONDS = 1.0


class Show:
    """Shows what trains, at most once in `POLL_SECONDS`; `board` is TensorBoard's.

    Attributes:
        runs: as they were shown last.
    """

    def __init__(self, found: Runs, board: Board | None) -> None:
        self._found, self._board = found, board
        self.runs: list[Run] = []
        self._shown = -float("inf")

    def __call__(self, least_seconds: float = POLL_SECONDS) -> None:
        if time.monotonic() - self._shown < least_seconds:
            return
        self.runs = self._found.look()
        live.write(self.runs)
        if self._board:
            self._board.write(self.runs)
        self._shown = time.monotonic()


def watch(
    store: JobStore, rows: Sequence[str], profile: str, images: int, device: str, tensorboard: bool
) -> None:
    """Show what trains until Ctrl-C, SIGTERM, or the end of the process that this one was started by.

    Args:
        rows: whose trainings are meant; all if there are none.
        profile, device: see `sgr.watch.checkpoints.Measure`.
        images: that mIoU is measured on at each checkpoint; with 0 it is not.
        tensorboard: show them there too.
    """
    parent = os.getppid()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    show = Show(Runs(store, tuple(rows)), Board() if tensorboard else None)
    try:
        show()
        if images:
            # torch takes seconds to import
            from sgr.watch.checkpoints import Measure

            measure = Measure(profile, images, device, show)
            os.nice(10)  # the cores are the trainings'
        while os.getppid() == parent:
            show()
            for run in show.runs if images else ():
                try:
                    measure(run)
                # one checkpoint that cannot be measured is no reason to stop watching
                except Exception as error:
                    print(f"{run.name}: its mIoU is not measured: {error}", file=sys.stderr)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        pass
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        show(0)
        live.METRICS.unlink(missing_ok=True)
