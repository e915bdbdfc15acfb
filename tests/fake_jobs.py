"""Job functions for the launcher's tests: they count with a checkpoint, fail, or tell where they run."""

from __future__ import annotations

import os
import time
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
