"""Job functions for two ranks, of which the second comes to harm."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from sgr import ranks


def fail(settings: None, where: None, seed: None, folder: Path) -> None:
    """The second rank raises an error while the first waits for it."""
    if ranks.rank() == 1:
        raise ZeroDivisionError("of rank 1")
    ranks.agreed(0)


def die(settings: None, where: None, seed: None, folder: Path) -> None:
    """The second rank is killed while the first waits for it."""
    if ranks.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.agreed(0)
