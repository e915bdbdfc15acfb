"""Job functions for the launcher's tests: they count with a checkpoint, fail, or tell where they run."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import sgr
from sgr.errors import UserError
from sgr.files import read_json, write_bytes, write_json


def count(spec: dict[str, Any], where: dict[str, Any], folder: Path) -> list[str]:
    """A training in small: a checkpoint an iteration, and bytes that depend on every iteration."""
    checkpoint = folder / "checkpoint.json"
    state = read_json(checkpoint) if checkpoint.exists() else {"iteration": 0, "value": spec["seed"]}
    with open(folder / "runs.txt", "a") as file:
        file.write(f"{os.getpid()} from {state['iteration']}\n")
    while state["iteration"] < spec["iterations"]:
        value = (state["value"] * 1103515245 + state["iteration"]) % 2**31
        state = {"iteration": state["iteration"] + 1, "value": value}
        write_json(checkpoint, state)
        print(f"iteration {state['iteration']}/{spec['iterations']}", flush=True)
        time.sleep(where.get("pause", 0))
    write_bytes(folder / "weights.bin", str(state["value"]).encode() * 100)
    write_json(folder / "metrics" / "val.json", {"value": state["value"]})
    write_json(folder / "measured.json", {"device": "cpu", "images_per_second": 1.5})
    return ["weights.bin", "metrics/val.json"]


def fail(spec: dict[str, Any], where: dict[str, Any], folder: Path) -> list[str]:
    """Fails until the machine is mended."""
    if not where.get("mended"):
        raise ZeroDivisionError("the loss is not a number")
    return count({"iterations": 1, "seed": 1}, where, folder)


def mistake(spec: dict[str, Any], where: dict[str, Any], folder: Path) -> list[str]:
    """Finds a mistake of the user."""
    raise UserError("the label 9.png holds 77, which is no class of camvid")


def lie(spec: dict[str, Any], where: dict[str, Any], folder: Path) -> list[str]:
    """Names a file that it did not write."""
    return ["weights.bin"]


def surroundings(spec: dict[str, Any], where: dict[str, Any], folder: Path) -> list[str]:
    """Tells which code it runs from, in which folder, and with how many threads."""
    told = {"code": sgr.__file__, "folder": os.getcwd(), "threads": os.environ.get("OMP_NUM_THREADS")}
    write_json(folder / "told.json", told)
    return ["told.json"]


def struck(spec: dict[str, Any], where: dict[str, Any], folder: Path) -> list[str]:
    """`count`, which halfway meets `where["fault"]`, one of FAULTS; what it has written by then looks whole."""
    if os.environ.get("SLURM_PROCID", "0") != "0":
        FAULTS[where["fault"]](where, folder)
        return []
    count({**spec, "iterations": spec["iterations"] // 2}, where, folder)
    FAULTS[where["fault"]](where, folder)
    return count(spec, where, folder)


def _none(where: dict[str, Any], folder: Path) -> None:
    """The machine is mended."""


def _gate(where: dict[str, Any], folder: Path) -> None:
    while not Path(where["gate"]).exists():
        time.sleep(0.05)


def _deaf(where: dict[str, Any], folder: Path) -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    _gate(where, folder)


def _memory(where: dict[str, Any], folder: Path) -> None:
    held = b"x" * (3 << 29)
    _gate(where, folder)
    del held


def _disk(where: dict[str, Any], folder: Path) -> None:
    with suppress(OSError), open(folder / "ballast", "wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def _error(where: dict[str, Any], folder: Path) -> None:
    raise ZeroDivisionError("the loss is not a number")


def _mistake(where: dict[str, Any], folder: Path) -> None:
    raise UserError("the label 9.png holds 77, which is no class of camvid")


def _rank(where: dict[str, Any], folder: Path) -> None:
    from sgr import ranks

    if ranks.rank() == 1:
        _error(where, folder)
    ranks.barrier()


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
