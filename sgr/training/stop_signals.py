"""Signals that announce the end of a process, put off until its checkpoint is written."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

# preemption and scancel; submitit's warning before the time limit, by default or as SUBMITIT_PREEMPT_SIGNAL
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class StopSignals:
    """While the block runs such signals are only noted; `obey` does then what they would have done.

    One that was not obeyed is so when the block ends.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._noted: list[int] = []

    @property
    def number(self) -> int:
        """The first signal that waits, 0 for none."""
        return self._noted[0] if self._noted else 0

    def obey(self, number: int) -> None:
        """Hand a signal to its former handler, which may end the process."""
        self._noted = [noted for noted in self._noted if noted != number]
        if number in self._handlers:
            signal.signal(number, self._handlers[number])
            signal.raise_signal(number)
            signal.signal(number, self._note)

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # the only one that signals go to
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for number in self._noted:
            signal.raise_signal(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted.append(number)
