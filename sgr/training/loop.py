"""The training loop: the only one of the project."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset
from tqdm import tqdm

from sgr import ranks
from sgr.device import measured
from sgr.files import write_bytes, write_json
from sgr.models import weights_file
from sgr.models.network import Network, parameter_count, weighted_sum
from sgr.training import checkpoint
from sgr.training.batches import Batch, Collate, batches
from sgr.training.curve import Curve
from sgr.training.fingerprint import Fingerprint
from sgr.training.finite import Finite, not_finite
from sgr.training.parallel import averaging, parallel
from sgr.training.settings import LoopSettings, Run
from sgr.training.stop_signals import StopSignals

if TYPE_CHECKING:
    from sgr.detection.network import MaskRCNN


class Learner(NamedTuple):
    """A network on its device, the weights of its named losses (Eq. 7), and what changes its parameters."""

    network: Network | MaskRCNN
    weights: dict[str, float]
    optimizer: Optimizer
    schedule: LRScheduler


class Samples(NamedTuple):
    """What is learned from, each sample a function of its position; iterations x batch size of them.

    dataset: `image` (3,H,W) uint8, and behind it what `network.losses` takes beside the output.
    collate: samples to a batch; without it torch stacks them.
    """

    dataset: Dataset[Any]
    collate: Collate | None = None


class Place(NamedTuple):
    """Where a training keeps its files, with which seed, and how it is run."""

    folder: Path
    seed: int
    run: Run


def fit(learner: Learner, samples: Samples, settings: LoopSettings, place: Place) -> None:
    """Train from the last checkpoint in the folder, or from the start, to weights and a loss curve.

    All ranks of a job call it, each learns from its share of every batch, and the first alone writes:
    model.safetensors, curve.csv, fingerprint.json and measured.json. On SIGTERM, SIGUSR1 or SIGUSR2 to any of them all
    write a checkpoint at the end of the iteration, and only then do what the signal asks for.

    Raises:
        UserError: when a loss, the gradient or the weights are no longer finite; no checkpoint ever holds such.
    """
    network, iterations = learner.network, settings.iterations
    folder, seed, run = place
    device = next(network.parameters()).device
    draw_apart(seed)
    start, rows, sums = checkpoint.resume(folder, network, learner.optimizer, learner.schedule, iterations)
    finite = Finite(iterations)
    curve = Curve(folder, rows, iterations) if ranks.rank() == 0 else None
    fingerprint = Fingerprint(folder / "fingerprint.json", start) if ranks.rank() == 0 else None
    coming = batches(
        samples.dataset,
        start,
        settings.batch_size,
        settings.accumulate,
        run.loader_workers,
        device,
        samples.collate,
    )
    forward = parallel(network.train())
    if settings.compile:
        forward = torch.compile(forward)  # type: ignore[assignment]
    images = 0
    began = last_checkpoint = time.monotonic()
    line = tqdm(
        coming,
        desc=run.title,
        initial=start,
        total=iterations,
        unit="it",
        dynamic_ncols=True,
        mininterval=1,
        disable=ranks.rank() > 0,
    )
    with StopSignals() as signals:
        for iteration, batch in enumerate(line, start + 1):
            rate = float(learner.schedule.get_last_lr()[0])
            try:
                losses, gradient = step(learner, forward, batch, settings, device)
            except FloatingPointError as error:  # a matching has no answer; the cause may be an iteration old
                finite.check(alone=True)
                raise not_finite("a cost of the matching", iteration) from error
            finite.note(iteration, losses, gradient)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value
            images += len(batch["image"]) * ranks.number()
            if fingerprint:
                fingerprint.take(iteration, network, learner.optimizer, losses)
            if iteration == run.stop_after:
                return
            if iteration % settings.log_every == 0 or iteration == iterations:
                finite.check()
                count = iteration - (iteration - 1) // settings.log_every * settings.log_every
                means = {name: float(ranks.mean(value)) / count for name, value in sums.items()}
                if curve:
                    curve.log({"iteration": iteration, "learning_rate": rate, **means})
                speed = images / (time.monotonic() - began)
                line.set_postfix_str(f"loss {means['loss']:.4f}, {speed:.1f} images/s", refresh=False)
                sums.clear()
            due = iteration < iterations and time.monotonic() - last_checkpoint >= run.checkpoint_seconds
            # all ranks checkpoint, or none: whether a signal came (its number) or the time has (1)
            if asked := ranks.agreed(signals.number or due):
                finite.check_state(iteration, network, learner.optimizer)
                rows = curve.rows if curve else []
                checkpoint.save(folder, network, learner.optimizer, learner.schedule, iteration, rows, sums)
                last_checkpoint = time.monotonic()
                if asked > 1:
                    signals.obey(asked)
    finite.check_state(iterations, network, learner.optimizer)
    if curve:
        write(network, curve, folder, measured(device, images / max(time.monotonic() - began, 1e-9)))


def step(
    learner: Learner, forward: nn.Module, batch: Batch, settings: LoopSettings, device: torch.device
) -> tuple[dict[str, Tensor], Tensor]:
    """One iteration: gradients of all parts of a batch, and an update.

    Returns `loss` with the losses it is made of, and the norm of the gradient. They stay on the device, so that nothing
    waits for it.
    """
    network, sums = learner.network, dict[str, Tensor]()
    learner.optimizer.zero_grad(set_to_none=True)
    items = [_on_device(value, device, settings.channels_last) for value in batch.values()]
    parts = list(zip(*(_split(value, settings.accumulate) for value in items), strict=True))
    for number, (image, *targets) in enumerate(parts, 1):
        with averaging(forward, now=number == len(parts)):
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
                output = forward(image)
                losses = network.losses(output, *targets)
            loss = weighted_sum(losses, learner.weights)
            (loss / len(parts)).backward()
        for name, value in {"loss": loss, **losses}.items():
            sums[name] = sums.get(name, 0) + value.detach() / len(parts)
    learned = [p for group in learner.optimizer.param_groups for p in group["params"]]
    gradient = get_total_norm([p.grad for p in learned if p.grad is not None])
    if settings.gradient_clip:
        clip_grads_with_norm_(learned, settings.gradient_clip, gradient)
    learner.optimizer.step()
    learner.schedule.step()
    return sums, gradient


def write(network: nn.Module, curve: Curve, folder: Path, cost: dict[str, Any]) -> None:
    """Write what a finished training leaves; its checkpoint goes."""
    write_bytes(folder / "model.safetensors", weights_file.packed(network.state_dict()))
    write_bytes(folder / "curve.csv", as_csv(curve.rows))
    about = {"parameters": parameter_count(network), "ranks": ranks.number()}
    write_json(folder / "measured.json", cost | about)
    checkpoint.remove(folder)


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


def _on_device(value: Any, device: torch.device, channels_last: bool) -> Any:
    """Tensors, in lists and dicts too, on the device; maps of images (B, C, H, W) perhaps with the channels last."""
    if isinstance(value, Tensor):
        moved = value.to(device, non_blocking=True)
        last = channels_last and moved.ndim == 4
        return moved.contiguous(memory_format=torch.channels_last) if last else moved
    if isinstance(value, dict):
        return {name: _on_device(item, device, channels_last) for name, item in value.items()}
    return [_on_device(item, device, channels_last) for item in value]


def _split(value: Any, parts: int) -> list[Any]:
    """As `Tensor.chunk`, of lists too."""
    size = -(-len(value) // parts)
    return [value[first : first + size] for first in range(0, len(value), size)]
