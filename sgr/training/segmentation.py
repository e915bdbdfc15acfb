"""The training job of one row and one seed: from its plan entry to weights and a loss curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from sgr import data, ranks
from sgr.data.component_archive import ComponentArchive
from sgr.data.manifest import check, samples
from sgr.data.samples import TrainingSamples
from sgr.device import memory_format, reproducible
from sgr.files import read_json
from sgr.models import build
from sgr.models.network import Network
from sgr.training.batch_share import share
from sgr.training.learn import learn
from sgr.training.optimizer import build_optimizer, polynomial


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
    return learn(network, weights, optimizer, schedule, positions, settings, seed, where, folder, title)


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
