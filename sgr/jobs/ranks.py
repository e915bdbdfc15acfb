"""A job of several processes, its ranks: SLURM starts them as submitit's tasks, or torchrun does.

The first rank is the job: it holds the lock of the folder and writes all but its own traceback. The others wait for it,
compute along, and leave with it. Whichever fails first for a reason of its own writes failed.json.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from sgr.errors import UserError
from sgr.jobs.call import call
from sgr.jobs.failure import RESUME
from sgr.jobs.job import Job
from sgr.jobs.worker import record, work

SILENCE = timedelta(minutes=30)  # the longest that one rank may keep the others waiting
# gloo and NCCL raise plain RuntimeErrors when another process is gone
_LOST = re.compile(
    r"closed by peer|reset by peer|broken pipe|connection refused|socket|timed? ?out|NCCL", re.I
)


def run(folder: Path, tee: bool = True) -> None:
    """Do the job in `folder` as the rank that this process is; alone, that is `work`.

    Reads torchrun's variables RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        work(folder, tee)
        return
    with joined() as rank:
        if rank == 0:
            work(folder, tee, together=_leading)
        else:
            _follow(folder)


def tell_from_submitit() -> None:
    """Set torchrun's variables for the task of a SLURM job that this process is.

    Tasks but the first then leave on submitit's warning signal: the first one has the job requeued.
    """
    from submitit.core.job_environment import JobEnvironment
    from submitit.helpers import TorchDistributedEnvironment

    environment = JobEnvironment()
    if environment.num_tasks == 1:
        return
    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    if environment.global_rank > 0:
        signal.signal(environment._usr_sig(), lambda *_: sys.exit(0))


@contextmanager
def joined() -> Iterator[int]:
    """The rank of this process among those beside it, for as long as the block runs; needs torchrun's variables."""
    import torch
    from torch import distributed as dist

    gpu = torch.cuda.is_available()
    if gpu:
        # SLURM may show a task its own GPU alone
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=SILENCE)
    yield dist.get_rank()
    # after an error the others may be gone, and NCCL would wait for them
    dist.destroy_process_group()


@contextmanager
def _leading() -> Iterator[None]:
    _meet()  # the others start
    try:
        yield
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        # failed.json says more if that rank could still write
        raise UserError(
            f"one of the {os.environ['WORLD_SIZE']} ranks ended without a word, perhaps killed for want of memory; "
            f"{RESUME}"
        ) from error


def _follow(folder: Path) -> None:
    try:
        _meet()  # until the first rank holds the lock; if it finds the job finished, it just leaves
        call(Job.load(folder), folder)
    except Exception as error:
        if _is_lost(error):
            print(f"rank {os.environ['RANK']} leaves: {error}", file=sys.stderr)
            os._exit(0)
        record(folder, error)
        raise


def _meet() -> None:
    """Wait for all ranks, but for no GPU."""
    import torch
    from torch import distributed as dist

    dist.all_reduce(torch.zeros(1))


def _is_lost(error: Exception) -> bool:
    from torch import distributed as dist

    return isinstance(error, dist.DistError) or (
        type(error) is RuntimeError and bool(_LOST.search(str(error)))
    )
