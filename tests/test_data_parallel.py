"""One function over many items: the same results in the same order, little ahead, and no process left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from sgr.data import files, parallel
from sgr.errors import UserError


def test_processes_give_the_same_in_the_same_order():
    items = [(number,) for number in range(50)]
    serial = list(parallel.in_parallel(hex, items))
    assert serial == list(parallel.in_parallel(hex, items, serial_below=0))


def test_processes_run_little_ahead_of_the_caller():
    taken = []
    items = (taken.append(number) or (number,) for number in range(10_000))
    results = parallel.in_parallel(hex, items, serial_below=0)
    assert next(results) == "0x0"
    assert len(taken) <= parallel.CHUNK * parallel.AHEAD * len(os.sched_getaffinity(0))
    results.close()
    assert len(taken) < 10_000


def test_an_error_crosses_processes():
    with pytest.raises(UserError, match="there is no file nothing"):
        list(parallel.in_parallel(files.read_image, [("nothing",)] * 4, serial_below=0))


def test_workers_end_with_a_killed_process():
    code = (
        "import os, time; from sgr.data.parallel import in_parallel; os.sched_getaffinity = lambda _: {0, 1}\n"
        "list(in_parallel(time.sleep, [(1,)] * 400, 0))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        parent = psutil.Process(process.pid)
        while len(workers := parent.children()) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    assert psutil.wait_procs(workers, timeout=60)[1] == []
