"""The training job of one row and one seed: from its plan entry to weights and a loss curve."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save

from sgr import data, ranks
from sgr.data.archive import ComponentArchive
from sgr.data.manifest import check, samples
from sgr.data.samples import TrainingSamples
from sgr.device import measured, memory_format, reproducible
from sgr.files import read_json, write_bytes, write_json
from sgr.models import build
from sgr.models.network import Network, parameter_count
from sgr.training import checkpoint
from sgr.training.batches import batches
from sgr.training.curve import Curve
from sgr.training.loop import fit
from sgr.training.optimizer import build_optimizer, polynomial
from sgr.training.share import share


def train(spec: dict[str, Any], where: dict[str, Any], folder: Path) -> list[str]:
    """Train, or go on from the folder's checkpoint. All ranks of a job call it; the first alone writes.

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
    share(settings["batch_size"], settings["accumulate"], ranks.number())
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
    draw_apart(seed)
    start, rows, sums = checkpoint.resume(folder / "checkpoint.pt", network, optimizer, schedule)
    curve = Curve(folder / "dvclive", rows) if ranks.rank() == 0 else None

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
    speed = fit(
        network,
        batches(
            positions, start, settings["batch_size"], settings["accumulate"], where["loader_workers"], device
        ),
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
        log=curve.log if curve else lambda row: None,
        checkpoint=lambda done: checkpoint.save(
            folder / "checkpoint.pt", network, optimizer, schedule, done, curve.rows if curve else [], sums
        ),
        checkpoint_seconds=where["checkpoint_seconds"],
        title=f"{plan['row']} seed {seed}",
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
