"""Job functions for the tests of jobs: they count with a checkpoint, fail, or tell where they run."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sgr
from sgr.errors import UserError
from sgr.files import read_json, write_bytes, write_json
from sgr.jobs.job import Kind

COUNTED = ("weights.bin", "metrics/val.json")


@dataclass(frozen=True)
class Count:
    """How far to count."""

    iterations: int = 1


@dataclass(frozen=True)
class Pause:
    """Seconds an iteration takes."""

    pause: float = 0


def kind(name: str, *artefacts: str, module: str = "fake_jobs", ranks: bool = False) -> Kind:
    """The kind of a function of this file, or of another module of the tests, called after it."""
    return Kind(f"{module}:{name}", f"{module}:{name}", artefacts, ranks)


def artefacts(folder: Path) -> dict[str, Any]:
    """What the done.json of a folder lists, but for the provenance, which holds times."""
    return {
        name: entry for name, entry in read_json(folder / "done.json").items() if name != "provenance.json"
    }


def count(settings: Count, where: Pause, seed: int, folder: Path) -> None:
    """A training in small: a checkpoint an iteration, and bytes that depend on every iteration."""
    checkpoint = folder / "checkpoint.json"
    state = read_json(checkpoint) if checkpoint.exists() else {"iteration": 0, "value": seed}
    with open(folder / "runs.txt", "a") as file:
        file.write(f"{os.getpid()} from {state['iteration']}\n")
    while state["iteration"] < settings.iterations:
        value = (state["value"] * 1103515245 + state["iteration"]) % 2**31
        state = {"iteration": state["iteration"] + 1, "value": value}
        write_json(checkpoint, state)
        print(f"iteration {state['iteration']}/{settings.iterations}", flush=True)
        time.sleep(where.pause)
    write_bytes(folder / "weights.bin", str(state["value"]).encode() * 100)
    write_json(folder / "metrics" / "val.json", {"value": state["value"]})
    write_json(folder / "measured.json", {"device": "cpu", "images_per_second": 1.5})


def fail(settings: dict[str, Any], where: dict[str, Any] | None, seed: None, folder: Path) -> None:
    """Fails until the machine is mended."""
    if not (where or {}).get("mended"):
        raise ZeroDivisionError("the loss is not a number")
    count(Count(1), Pause(), 1, folder)


def mistake(settings: None, where: None, seed: None, folder: Path) -> None:
    """Finds a mistake of the user."""
    raise UserError("the label 9.png holds 77, which is no class of camvid")


def lie(settings: None, where: None, seed: None, folder: Path) -> None:
    """Writes nothing, whatever its kind promises."""


def surroundings(settings: None, where: None, seed: None, folder: Path) -> None:
    """Tells which code it runs from, in which folder, and with how many threads."""
    told = {"code": sgr.__file__, "folder": os.getcwd(), "threads": os.environ.get("OMP_NUM_THREADS")}
    write_json(folder / "told.json", told)


@dataclass(frozen=True)
class Fault:
    """What a job meets halfway, one of FAULTS, and the file that lets one go on that waits."""

    fault: str
    gate: str


def struck(settings: Count, where: Fault, seed: int, folder: Path) -> None:
    """`count`, which halfway meets a fault; what it has written by then looks whole."""
    if os.environ.get("SLURM_PROCID", "0") != "0":
        FAULTS[where.fault](where, folder)
        return
    count(Count(settings.iterations // 2), Pause(), seed, folder)
    FAULTS[where.fault](where, folder)
    count(settings, Pause(), seed, folder)


def _none(where: Fault, folder: Path) -> None:
    """The machine is mended."""


def _gate(where: Fault, folder: Path) -> None:
    while not Path(where.gate).exists():
        time.sleep(0.05)


def _deaf(where: Fault, folder: Path) -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    _gate(where, folder)


def _memory(where: Fault, folder: Path) -> None:
    held = b"x" * (3 << 29)
    _gate(where, folder)
    del held


def _disk(where: Fault, folder: Path) -> None:
    with suppress(OSError), open(folder / "ballast", "wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def _error(where: Fault, folder: Path) -> None:
    raise ZeroDivisionError("the loss is not a number")


def _mistake(where: Fault, folder: Path) -> None:
    raise UserError("the label 9.png holds 77, which is no class of camvid")


def _rank(where: Fault, folder: Path) -> None:
    from sgr import ranks

    if ranks.rank() == 1:
        _error(where, folder)
    ranks.agreed(0)


FAULTS = {
    "none": _none,
    "gate": _gate,
    "deaf": _deaf,
    "memory": _memory,
    "disk": _disk,
    "error": _error,
    "mistake": _mistake,
    "rank": _rank,
}

COUNT = kind("count", *COUNTED)
FAIL = kind("fail", *COUNTED)
MISTAKE = kind("mistake")
LIE = kind("lie", "weights.bin")
SURROUNDINGS = kind("surroundings", "told.json")
