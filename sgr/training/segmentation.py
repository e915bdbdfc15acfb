"""The training job of one row and one seed: from its plan entry to weights and a loss curve."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from sgr import ranks
from sgr.data import reader
from sgr.data.component_archive import ComponentArchive
from sgr.data.manifest import check, samples
from sgr.data.training_samples import TrainingSamples
from sgr.device import memory_format, reproducible
from sgr.files import read_json
from sgr.models.network import Network, build
from sgr.training.batch_share import share
from sgr.training.loop import Learner, Place, Samples, fit
from sgr.training.optimizer import build_optimizer, polynomial
from sgr.training.settings import TrainFiles, TrainSettings


def train(settings: TrainSettings, files: TrainFiles, seed: int, folder: Path) -> None:
    """Train, or go on from the folder's checkpoint; see `sgr.training.loop.fit` for what is written."""
    loop = settings.loop
    share(loop.batch_size, loop.accumulate, ranks.number())
    device = reproducible(seed, settings.threads)
    manifest = read_json(files.manifest)
    check(files.data, manifest)

    network = build(settings.network, settings.concept_loss)
    if files.weights:
        network.backbone.body.load_state_dict(load_file(files.weights))
    network.to(device).to(memory_format=memory_format(loop.channels_last))
    optimizer = build_optimizer(network, settings.optimizer)
    schedule = polynomial(optimizer, loop.iterations, settings.power, settings.warmup)
    positions = TrainingSamples(
        samples(files.data, manifest, settings.split),
        reader(settings.dataset).read_label,
        ComponentArchive(files.components) if files.components else None,
        length=loop.iterations * loop.batch_size,
        seed=seed,
        crop=settings.augmentation.crop,
        scale=settings.augmentation.scale,
        flip=settings.augmentation.flip,
        jitter=settings.augmentation.jitter,
        fill=network.backbone.mean_colour,
    )
    learner = Learner(network, loss_weights(network, settings.beta), optimizer, schedule)
    fit(learner, Samples(positions), loop, Place(folder, seed, files.run))


def loss_weights(network: Network, beta: float) -> dict[str, float]:
    """The weights of the named losses: the head's own, and Eq. 6 and 7 where tokens are supervised."""
    if network.concept_loss is None:
        return network.head.loss_weights
    return network.head.loss_weights | {
        "concept_focal": beta,
        "concept_dice": beta * network.concept_loss.rho,
        "concept_cosine": beta * network.concept_loss.gamma,
    }
