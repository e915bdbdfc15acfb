"""The training loop: the only one of the project."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from sgr import ranks
from sgr.models.network import Network, weighted_sum
from sgr.training.batches import Batch
from sgr.training.parallel import averaging, parallel
from sgr.training.stop_signals import Notice

if TYPE_CHECKING:
    from sgr.detection.network import MaskRCNN


def fit(
    network: Network | MaskRCNN,
    batches: Iterable[Batch],
    optimizer: Optimizer,
    schedule: LRScheduler,
    *,
    weights: dict[str, float],
    start: int,
    iterations: int,
    accumulate: int,
    gradient_clip: float,
    precision: str,
    channels_last: bool,
    compiled: bool,
    device: torch.device,
    log_every: int,
    log: Callable[[dict[str, float]], None],
    checkpoint: Callable[[int], None],
    checkpoint_seconds: float,
    title: str,
    sums: dict[str, Tensor] | None = None,
) -> float:
    """Train from iteration `start` to `iterations` and return the images per second.

    Several ranks train one network together, each on its share of a batch. On SIGTERM, SIGUSR1 or SIGUSR2 to any of
    them all write a checkpoint at the end of the iteration, and only then do what the signal asks for.

    Args:
        batches: this rank's share of each batch in order, from iteration `start` on: `image` (B,3,H,W) uint8,
            and behind it what `network.losses` takes beside the output, each a tensor or a list, an item an image.
        weights: of the named losses, Eq. 7.
        accumulate: parts a batch is split into, their gradients averaged.
        gradient_clip: largest norm of the gradient of all parameters together, 0 for no limit.
        precision: `fp32` or `bf16`, by autocast.
        log: called every `log_every` iterations with the means since the last call, of the whole batches.
        checkpoint: called with the number of finished iterations, every `checkpoint_seconds`.
        title: of the progress line.
        sums: of the losses since the last row of the curve, kept up to date for the checkpoint; a resumed run's.

    Raises:
        FloatingPointError: when the loss is no longer finite.
    """
    network.train()
    forward = parallel(network)
    if compiled:
        forward = torch.compile(forward)  # type: ignore[assignment]
    sums = {} if sums is None else sums
    means: dict[str, float]
    images = 0
    began = last_checkpoint = time.monotonic()
    line = tqdm(
        batches,
        desc=title,
        initial=start,
        total=iterations,
        unit="it",
        dynamic_ncols=True,
        mininterval=1,
        disable=ranks.rank() > 0,
    )
    with Notice() as notice:
        for iteration, batch in enumerate(line, start + 1):
            rate = float(schedule.get_last_lr()[0])
            optimizer.zero_grad(set_to_none=True)
            items = [_on_device(value, device, channels_last) for value in batch.values()]
            parts = list(zip(*(_split(value, accumulate) for value in items), strict=True))
            for number, (image, *targets) in enumerate(parts, 1):
                with averaging(forward, now=number == len(parts)):
                    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                        output = forward(image)
                        losses = network.losses(output, *targets)
                    loss = weighted_sum(losses, weights)
                    (loss / len(parts)).backward()
                for name, value in {"loss": loss, **losses}.items():
                    # stays on the device: no wait for it
                    sums[name] = sums.get(name, 0) + value.detach() / len(parts)
            if gradient_clip:
                torch.nn.utils.clip_grad_norm_(network.parameters(), gradient_clip)
            optimizer.step()
            schedule.step()
            images += len(batch["image"]) * ranks.number()
            if iteration % log_every == 0 or iteration == iterations:
                count = iteration - (iteration - 1) // log_every * log_every
                means = {name: float(ranks.mean(value)) / count for name, value in sums.items()}
                if not math.isfinite(means["loss"]):
                    raise FloatingPointError(
                        f"the loss is not finite at iteration {iteration}: lower the learning rate"
                    )
                log({"iteration": iteration, "learning_rate": rate, **means})
                speed = images / (time.monotonic() - began)
                line.set_postfix_str(f"loss {means['loss']:.4f}, {speed:.1f} images/s", refresh=False)
                sums.clear()
            due = iteration < iterations and time.monotonic() - last_checkpoint >= checkpoint_seconds
            # all ranks checkpoint, or none: whether a signal came (its number) or the time has (1)
            if asked := ranks.agreed(notice.number or due):
                checkpoint(iteration)
                last_checkpoint = time.monotonic()
                if asked > 1:
                    notice.obey(asked)
    return images / max(time.monotonic() - began, 1e-9)


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
