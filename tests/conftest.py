"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guard import pytest_configure as pytest_configure
from tests.guard import slurm_to_itself

TESTS = Path(__file__).parent

# A runner in the background of a shell ignores Ctrl-C, and one under nohup a lost connection; so would every process
# that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Read when torch is loaded: two threads on cores that are busy elsewhere are many times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where there is no SLURM or no browser, what needs one is skipped."""
    for marker, command in (("slurm", "sbatch"), ("browser", "chromium")):
        if item.get_closest_marker(marker) and shutil.which(command) is None:
            pytest.skip(f"no {command} on PATH: run tests/{marker}/install.sh")


@pytest.fixture(scope="module", autouse=True)
def slurm(request: pytest.FixtureRequest) -> Iterator[None]:
    """For a file with tests of SLURM the cluster here, or if none is up, the machine's own test cluster, to itself."""
    here = (item for item in request.session.items if item.path == request.path)
    if not any(item.get_closest_marker("slurm") for item in here) or shutil.which("sbatch") is None:
        yield
        return
    with slurm_to_itself():
        if subprocess.run(["sinfo"], capture_output=True).returncode:
            subprocess.run(["bash", str(TESTS / "slurm" / "up.sh")], check=True)
        yield


@pytest.fixture
def deterministic() -> Iterator[None]:
    """As training on a CPU: an operation that is not deterministic raises."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs of any process find the functions of tests/fake_jobs.py."""
    monkeypatch.syspath_prepend(str(TESTS))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))


@pytest.fixture
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where the same bits are promised; and the threads and determinism that jobs set are put back."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
