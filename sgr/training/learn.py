"""What every training job does with its network and samples: from the last checkpoint to weights and a loss curve."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset

from sgr import ranks
from sgr.device import measured
from sgr.files import write_bytes, write_json
from sgr.models.network import Network, parameter_count
from sgr.training import checkpoint
from sgr.training.batches import Collate, batches
from sgr.training.curve import Curve
from sgr.training.loop import fit

if TYPE_CHECKING:
    from sgr.detection.network import MaskRCNN


def learn(
    network: Network | MaskRCNN,
    weights: dict[str, float],
    optimizer: Optimizer,
    schedule: LRScheduler,
    samples: Dataset[Any],
    settings: dict[str, Any],
    seed: int,
    where: dict[str, Any],
    folder: Path,
    title: str,
    collate: Collate | None = None,
) -> list[str]:
    """Fit a network to its samples, or go on from the folder's checkpoint.

    Args:
        network: on its device, with the weights it starts from.
        weights: of its named losses.
        samples: each a function of its position; iterations x batch size of them.
        settings: `iterations`, `batch_size`, `accumulate`, `gradient_clip`, `precision`, `channels_last`, `compile` and
            `log_every` of `sgr.plan.params.Training`.
        where: `loader_workers`, `checkpoint_seconds`.
        folder: the job's own.
        title: of the progress line.
        collate: samples to a batch; without it torch stacks them.

    Returns:
        The names of what it wrote: model.safetensors, curve.csv.
    """
    device = next(network.parameters()).device
    draw_apart(seed)
    start, rows, sums = checkpoint.resume(folder / "checkpoint.pt", network, optimizer, schedule)
    curve = Curve(folder, rows, settings["iterations"]) if ranks.rank() == 0 else None
    size, accumulate, workers = settings["batch_size"], settings["accumulate"], where["loader_workers"]
    speed = fit(
        network,
        batches(samples, start, size, accumulate, workers, device, collate),
        optimizer,
        schedule,
        weights=weights,
        start=start,
        iterations=settings["iterations"],
        accumulate=accumulate,
        gradient_clip=settings["gradient_clip"],
        precision=settings["precision"],
        channels_last=settings["channels_last"],
        compiled=settings["compile"],
        device=device,
        log_every=settings["log_every"],
        log=curve.log if curve else lambda row: None,
        checkpoint=lambda done: checkpoint.save(
            folder / "checkpoint.pt", network, optimizer, schedule, done, curve.rows if curve else [], sums
        ),
        checkpoint_seconds=where["checkpoint_seconds"],
        title=title,
        sums=sums,
    )
    if not curve:
        return []
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_bytes(folder / "model.safetensors", save(state))
    write_bytes(folder / "curve.csv", as_csv(curve.rows))
    about = {"parameters": parameter_count(network), "ranks": ranks.number()}
    write_json(folder / "measured.json", measured(device, speed) | about)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return ["model.safetensors", "curve.csv"]


def draw_apart(seed: int) -> None:
    """Give each rank but the first a generator of its own: they start from the same weights, but drop other cells."""
    if ranks.rank() > 0:
        torch.manual_seed(int(np.random.SeedSequence([seed, ranks.rank()]).generate_state(1)[0]))


def as_csv(rows: list[dict[str, float]]) -> bytes:
    """Rows of one set of columns as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
