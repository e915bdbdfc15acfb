"""One function over many items, by the cores of this machine, in order and in little memory."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from multiprocessing import parent_process
from typing import Any, TypeVar

CHUNK, AHEAD = 16, 4  # items that a process takes at once, and chunks under way or waiting for each core

Result = TypeVar("Result")


def in_parallel(
    function: Callable[..., Result], items: Iterable[tuple[Any, ...]], serial_below: int = 200
) -> Iterator[Result]:
    """function(*item) for every item, in order; over this process's cores unless the items are few.

    Items are taken, and results are held, a few chunks a core ahead of the caller, however many there are.
    """
    following = iter(items)
    first = list(islice(following, serial_below + 1))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(first) <= serial_below or cores == 1:
        yield from (function(*item) for item in chain(first, following))
        return
    following = chain(first, following)
    waiting: deque[Future[list[Result]]] = deque()
    with ProcessPoolExecutor(cores, initializer=_end_with_parent) as executor:
        while chunk := list(islice(following, CHUNK)):
            waiting.append(executor.submit(_each, function, chunk))
            if len(waiting) == AHEAD * cores:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _end_with_parent() -> None:
    """The workers of a process that was killed would wait for work for ever."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _each(function: Callable[..., Result], chunk: list[tuple[Any, ...]]) -> list[Result]:
    return [function(*item) for item in chunk]
