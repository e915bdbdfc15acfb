"""The training job of one row and one seed: from its plan entry to weights and a loss curve."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import load_file, save
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset

from sgr import data
from sgr.data.archive import ComponentArchive
from sgr.data.manifest import check, samples
from sgr.data.samples import TrainingSamples
from sgr.device import measured, memory_format, reproducible
from sgr.files import read_json, write_bytes, write_json
from sgr.models import build
from sgr.models.network import Network, parameter_count
from sgr.training import checkpoint
from sgr.training.curve import Curve
from sgr.training.loop import Batch, fit
from sgr.training.optimizer import build_optimizer, polynomial

if TYPE_CHECKING:
    from sgr.detection.network import MaskRCNN


def train(spec: dict[str, Any], where: dict[str, Any], folder: Path) -> list[str]:
    """Train, or go on from the folder's checkpoint.

    Args:
        spec: `plan` (the row's plan entry), `seed`, and the hashes of the inputs.
        where: paths that do not matter to the result: `data`, `manifest`, `components`, `weights` (or None), and
            `loader_workers`, `checkpoint_seconds`.
        folder: the job's own.

    Returns:
        The names of what it wrote: model.safetensors, curve.csv.
    """
    plan, seed = spec["plan"], spec["seed"]
    settings, concept = plan["training"], plan["concept_loss"]
    device = reproducible(seed, plan["threads"])
    dataset = data.dataset(plan["dataset"])
    manifest = read_json(where["manifest"])
    check(Path(where["data"]), manifest)

    network, weights = build_with_loss(plan["network"], len(dataset.CLASSES), concept)
    if where["weights"]:
        network.backbone.body.load_state_dict(load_file(where["weights"]))
    network.to(device).to(memory_format=memory_format(settings["channels_last"]))
    names = ("optimizer", "learning_rate", "head_multiplier", "momentum", "weight_decay")
    optimizer = build_optimizer(network, **{name: settings[name] for name in names})
    schedule = polynomial(optimizer, settings["iterations"], settings["power"], settings["warmup"])
    positions = TrainingSamples(
        samples(Path(where["data"]), manifest, plan["split"]),
        dataset.read_label,
        ComponentArchive(where["components"]) if concept else None,
        length=settings["iterations"] * settings["batch_size"],
        seed=seed,
        crop=tuple(settings["crop"]),
        scale=tuple(settings["resize"] * scale for scale in plan["augmentation"]["scale"]),
        flip=plan["augmentation"]["flip"],
        jitter=plan["jitter"],
        fill=network.backbone.mean_colour,
    )
    title = f"{plan['row']} seed {seed}"
    return learn(network, weights, optimizer, schedule, positions, settings, where, folder, device, title)


def learn(
    network: Network | MaskRCNN,
    weights: dict[str, float],
    optimizer: Optimizer,
    schedule: LRScheduler,
    positions: Dataset[Any],
    settings: dict[str, Any],
    where: dict[str, Any],
    folder: Path,
    device: torch.device,
    title: str,
    collate: Callable[[list[Any]], Batch] | None = None,
) -> list[str]:
    """Fit a network to its samples from the folder's checkpoint on, and write what a training job leaves.

    Args:
        network: on the device, with the weights it starts from.
        weights: of its named losses.
        positions: samples, each a function of its position; iterations x batch size of them.
        settings: `iterations`, `batch_size`, ... of `sgr.config.Training`.
        where, folder: as `train`.
        title: of the progress line.
        collate: samples to a batch; torch's own if None.

    Returns:
        The names of what it wrote: model.safetensors, curve.csv.
    """
    start, rows = checkpoint.resume(folder / "checkpoint.pt", network, optimizer, schedule)
    curve = Curve(folder / "dvclive", rows)
    speed = fit(
        network,
        batches(positions, start, settings["batch_size"], where["loader_workers"], device, collate),
        optimizer,
        schedule,
        weights=weights,
        start=start,
        iterations=settings["iterations"],
        accumulate=settings["accumulate"],
        gradient_clip=settings["gradient_clip"],
        precision=settings["precision"],
        channels_last=settings["channels_last"],
        compiled=settings["compile"],
        device=device,
        log_every=settings["log_every"],
        log=curve.log,
        checkpoint=lambda done: checkpoint.save(
            folder / "checkpoint.pt", network, optimizer, schedule, done, curve.rows
        ),
        checkpoint_seconds=where["checkpoint_seconds"],
        title=title,
    )
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_bytes(folder / "model.safetensors", save(state))
    write_bytes(folder / "curve.csv", as_csv(curve.rows))
    write_json(folder / "measured.json", measured(device, speed) | {"parameters": parameter_count(network)})
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return ["model.safetensors", "curve.csv"]


def build_with_loss(
    network: dict[str, Any], classes: int, concept: dict[str, Any] | None
) -> tuple[Network, dict[str, float]]:
    """The network of a plan entry and the weights of its named losses (Eq. 6-7)."""
    if concept is None:
        plain = build(**network, classes=classes)
        return plain, plain.head.loss_weights
    arguments = {key: value for key, value in concept.items() if key != "beta"}
    supervised = build(**network, classes=classes, concept_loss=arguments)
    return supervised, supervised.head.loss_weights | {
        "concept_focal": concept["beta"],
        "concept_dice": concept["beta"] * concept["rho"],
        "concept_cosine": concept["beta"] * concept["gamma"],
    }


def batches(
    positions: Dataset[Any],
    start: int,
    size: int,
    workers: int,
    device: torch.device,
    collate: Callable[[list[Any]], Batch] | None = None,
) -> Iterator[Batch]:
    """Batches from iteration `start` on; each sample is a function of its position, so workers change nothing."""
    loader = DataLoader(
        positions,
        batch_size=size,
        sampler=range(start * size, len(cast(Sized, positions))),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # the loader draws a seed from it, and must not from the one that dropout uses
        persistent_workers=False,
    )
    return iter(loader)


def as_csv(rows: list[dict[str, float]]) -> bytes:
    """Rows of one set of columns as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
