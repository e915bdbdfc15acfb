"""A row in small: a generated dataset with its manifest and components, plan entries of a tiny network, and a training
process that kills itself."""

from __future__ import annotations

import contextlib
import copy
import multiprocessing
import os
import signal
from functools import cache
from pathlib import Path
from typing import Any

from sgr.data import manifest
from sgr.data.component_extraction import extract
from sgr.files import write_json
from sgr.generated.generate import generate
from sgr.plan.entries import entries as plan
from sgr.plan.params import load

ROOT = Path(__file__).parents[1]
ROW = "camvid-fcn-sgr"


def make(root: Path, size: tuple[int, int] = (45, 61)) -> dict[str, Any]:
    """Generate CamVid, 6 training, 2 validation and 2 test images, and return the `where` of a training job."""
    generate("camvid", root / "camvid", {"train": 6, "val": 2, "test": 2}, size, seed=0)
    made = manifest.make(root / "camvid", "camvid")
    write_json(root / "camvid.json", made)
    extract(root / "camvid", made, "train", root / "components.zip")
    return {
        "data": str(root / "camvid"),
        "manifest": str(root / "camvid.json"),
        "components": str(root / "components.zip"),
        "weights": None,
        "loader_workers": 0,
        "checkpoint_seconds": 0,
    }


def entry(stage: str, row: str = ROW, **training: Any) -> dict[str, Any]:
    """The entry of params.yaml's profile `mini`, made tiny; `training` changes settings of that section.

    Its head has dropout and batch norm, as in the profile; 9 iterations with a row of the curve every 2.
    """
    found = copy.deepcopy(entries()[f"{stage}/{row}"])
    found["network"]["head"]["width"] = 16
    if unit := found["network"]["unit"]:
        unit |= {"K": 8, "D": 16} | ({"heads": 2} if unit["kind"] == "sgr" else {})
    if found.get("concept_loss"):
        found["concept_loss"]["L"] = 4
    if stage == "train":
        found["training"] |= {"iterations": 9, "batch_size": 4, "crop": [32, 40], "warmup": 2, "log_every": 2}
        found["training"] |= training
    if stage == "semantics":
        found["examples"] = 2
    if stage == "evaluate":
        found["inference"]["scales"] = [0.5, 1.0, 1.25]
    return found


def spec(row: str = ROW, seed: int = 0, **training: Any) -> dict[str, Any]:
    """The spec of a training job."""
    return {"plan": entry("train", row, **training), "seed": seed}


def train_in_process(
    spec: dict[str, Any],
    where: dict[str, Any],
    folder: Path,
    *,
    kind: str = "train",
    die_at_step: int | None = None,
    die_while_saving: int | None = None,
    terminate_at_step: int | None = None,
) -> int:
    """Train in a process of its own and return its exit code, -9 when it was killed.

    Args:
        kind: of the job, `train` or `transfer`.
        die_at_step: SIGKILL in the middle of this iteration of the process, counted from 1.
        die_while_saving: SIGKILL when this checkpoint of the process lies beside its name, not yet renamed.
        terminate_at_step: SIGTERM in the middle of this iteration.
    """
    process = start(spec, where, folder, die_at_step, die_while_saving, terminate_at_step, kind=kind)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def start(
    spec: dict[str, Any], where: dict[str, Any], folder: Path, *deaths: int | None, kind: str = "train"
) -> Any:
    """The same, not waited for."""
    # a server that has all imported forks each process: seconds less than a fresh interpreter, and no shared threads
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["sgr.training.segmentation", "sgr.unit", "sgr.losses", "dvc.repo", "tests.tiny_row"]
    )
    process = context.Process(target=_train, args=(spec, where, folder, kind, *deaths))
    process.start()
    return process


def _train(
    spec: dict[str, Any],
    where: dict[str, Any],
    folder: Path,
    kind: str,
    die_at_step: int | None = None,
    die_while_saving: int | None = None,
    terminate_at_step: int | None = None,
) -> None:
    import torch

    import sgr.files
    from sgr.jobs.worker import function
    from sgr.training import loop

    # as in a job: the child of a fork server would start a server of its own for its loader workers
    multiprocessing.set_start_method("fork", force=True)
    torch.cuda.is_available = lambda: False  # the same bits are promised on a CPU only
    _kill_at(loop, "weighted_sum", die_at_step)
    _kill_at(loop, "weighted_sum", terminate_at_step, number=signal.SIGTERM)
    if die_while_saving is not None:
        _kill_at(sgr.files.os, "replace", die_while_saving, "checkpoint.pt")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.txt", "a") as log, contextlib.redirect_stderr(log):
        function(kind)(spec, where, folder)


def _kill_at(module: Any, name: str, call: int | None, only: str = "", number: int = signal.SIGKILL) -> None:
    """Send this process a signal at a call of `module.name`, counted from 1, whose last argument ends in `only`."""
    original, calls = getattr(module, name), 0

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        if not only or str(arguments[-1]).endswith(only):
            calls += 1
            if calls == call:
                os.kill(os.getpid(), number)
        return original(*arguments)

    setattr(module, name, counted)


@cache
def entries() -> dict[str, dict[str, Any]]:
    return plan.entries(load(ROOT / "params.yaml").model_copy(update={"profile": "mini"}), ROOT)
