"""Ranks on this machine: processes with the variables that torchrun sets, each calling a function of a test."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import tiny_row


def start(number: int, function: Callable[..., None], *arguments: Any) -> list[Any]:
    """The processes, each calling `function(*arguments)`."""
    # as in tiny_row: forked from a server that has all imported
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["sgr.training.segmentation", "sgr.unit", "sgr.jobs.ranks", "dvc.repo", "tests.local_ranks"]
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        context.Process(target=_rank, args=(rank, number, port, function, *arguments))
        for rank in range(number)
    ]
    for process in started:
        process.start()
    return started


def run(number: int, function: Callable[..., None], *arguments: Any) -> list[int]:
    """The same, waited for: their exit codes, minus a signal's number if one killed it."""
    started = start(number, function, *arguments)
    for process in started:
        process.join(120)
        assert process.exitcode is not None, "a rank hangs"
    return [process.exitcode for process in started]


def work(folder: Path, event: dict[str, Any] | None = None) -> None:
    """The worker of a prepared job, in which an event may happen to the rank `rank`; see `happens`."""
    from sgr.jobs import worker

    if event and int(os.environ["RANK"]) == event["rank"]:
        happens(event)
    raise SystemExit(worker.main(folder))


def happens(event: dict[str, Any]) -> None:
    """In iteration `step` of this process it gets `signal`, raises `error`, or its loss is multiplied by `factor`.

    With `saving` instead, it is killed when that checkpoint, counted from 1, lies beside its name.
    """
    import sgr.files
    from sgr.training import loop

    if "saving" in event:
        tiny_row._kill_at(sgr.files.os, "replace", event["saving"], "checkpoint.pt")
    else:
        _at(loop, "weighted_sum", event)


def without_dropout() -> None:
    """Leave nothing out in this process."""
    from torch.nn import functional as F

    F.dropout = lambda x, *arguments, **settings: x  # type: ignore[assignment]


def _at(module: Any, name: str, event: dict[str, Any]) -> None:
    original, calls = getattr(module, name), 0

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == event["step"]:
            if "factor" in event:
                return original(*arguments) * event["factor"]
            if "error" in event:
                raise ZeroDivisionError(event["error"])
            os.kill(os.getpid(), event["signal"])
        return original(*arguments)

    setattr(module, name, counted)


def _rank(rank: int, number: int, port: int, function: Callable[..., None], *arguments: Any) -> None:
    import torch

    variables = {"RANK": rank, "WORLD_SIZE": number, "LOCAL_RANK": rank, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in variables.items()}, MASTER_ADDR="127.0.0.1")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.cuda.is_available = lambda: False  # the same bits are promised on a CPU only
    log = Path(arguments[0]) / f"rank{rank}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a") as file, contextlib.redirect_stderr(file), contextlib.redirect_stdout(file):
        function(*arguments)
