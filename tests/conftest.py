"""What all tests share."""

from __future__ import annotations

import os
import signal

# A runner in the background of a shell ignores Ctrl-C, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Read when torch is loaded: two threads on cores that are busy elsewhere are many times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
