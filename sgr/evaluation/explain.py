"""What a trained network makes of a few images: its prediction, and its most active tokens with what they vote for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sgr.data.files import IGNORE
from sgr.device import memory_format, reproducible
from sgr.evaluation.inference import scores
from sgr.evaluation.semantics import ALIKE, extended, image_regions
from sgr.evaluation.settings import Seen
from sgr.models import weights_file
from sgr.models.network import Network, build
from sgr.semantics import label_shares, token_semantics

TOKENS = 32  # kept of a network, of the paper's 512
SIDE = 64  # most cells of a kept map along its longer side


class Look(NamedTuple):
    """A network on one image.

    Attributes:
        prediction: (H, W) uint8 classes, single-scale.
        regions: (K, h, w) weights of all tokens, of at most SIDE cells a side.
        covers: pixels (H', W') that the cells lie over; more than the image where it was padded.
        votes: (K, classes) share of each class in a token's votes; zeros of a token without any.
        semantics, diversity: S and D over all tokens; NaN of an image without labels.
    """

    prediction: Tensor
    regions: Tensor
    covers: tuple[int, int]
    votes: Tensor
    semantics: float
    diversity: float


def explain(
    seen: Seen,
    model: Path,
    seed: int,
    images: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.uint8]],
) -> dict[str, NDArray[Any]]:
    """Arrays by name, to be stored together: `tokens` (T,) and their `peaks` (T,), and for each image, by its number,
    `prediction_0` (H, W), `regions_0` (T, h, w) uint8 whose 255 is the token's peak, its largest weight in any of the
    images, `votes_0` (T, classes), `covers_0` (H', W'), `semantics_0` and `diversity_0`.

    Args:
        model: weights of the trained network.
        images: (H, W, 3) each.
        labels: (H, W) each, 255 where unlabelled.

    Raises:
        UserError: if the weights are not what the training wrote.
    """
    device = reproducible(seed, seen.threads)
    network = build(seen.network)
    network.load_state_dict(weights_file.read(model))
    network.to(device).to(memory_format=memory_format(seen.channels_last)).eval()
    looks = [
        look(
            network,
            torch.from_numpy(image).permute(2, 0, 1)[None].to(device),
            torch.from_numpy(label)[None].to(device),
            seen,
        )
        for image, label in zip(images, labels, strict=True)
    ]
    tokens = most_active([one.regions for one in looks])
    peaks = torch.stack([one.regions[tokens].amax((1, 2)) for one in looks]).amax(0)
    found = {"tokens": tokens, "peaks": peaks}
    for number, one in enumerate(looks):
        scaled = one.regions[tokens] / peaks[:, None, None].clamp_min(1e-12)
        found |= {
            f"prediction_{number}": one.prediction.to(torch.uint8),
            f"regions_{number}": (255 * scaled).round().to(torch.uint8),
            f"votes_{number}": one.votes[tokens].float(),
            f"covers_{number}": torch.tensor(one.covers),
            f"semantics_{number}": torch.tensor(one.semantics),
            f"diversity_{number}": torch.tensor(one.diversity),
        }
    return {name: tensor.cpu().numpy() for name, tensor in found.items()}


@torch.inference_mode()
def look(network: Network, image: Tensor, label: Tensor, seen: Seen) -> Look:
    """image: (1, 3, H, W) in 0..255. label: (1, H, W), 255 where unlabelled."""
    size = (label.shape[1], label.shape[2])
    prediction = scores(network, image, size, seen.resize, flip=False).argmax(1)[0]
    regions, covers = image_regions(network, image, seen.resize)
    cells = extended(label, covers, IGNORE)
    measured = token_semantics(regions, cells, seen.network.classes, IGNORE)
    shares = label_shares(cells, seen.network.classes, (regions.shape[2], regions.shape[3]), IGNORE)
    votes = (regions.double().flatten(2) @ shares)[0]
    votes = votes / votes.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    small = _small(regions)[0].float()
    return Look(prediction, small, covers, votes, float(measured.semantics), float(measured.diversity))


def most_active(regions: Sequence[Tensor]) -> Tensor:
    """Numbers of the TOKENS tokens with the most weight over all images, (T,).

    One that looks like a token already chosen comes only after the others, as in Figure 4.

    Args:
        regions: (K, h, w) of each image.
    """
    activity = torch.stack([one.double().mean((1, 2)) for one in regions]).sum(0)
    order = activity.argsort(descending=True, stable=True)
    units = F.normalize(torch.cat([one.flatten(1) for one in regions], 1), dim=1)[order]
    cosines = (units @ units.T).cpu()
    chosen: list[int] = []
    for index in range(len(order)):
        if cosines[index, index] > 0 and not (cosines[index, chosen] > ALIKE).any():
            chosen.append(index)
    kept = {*chosen}
    chosen += [index for index in range(len(order)) if index not in kept]
    return order[chosen[:TOKENS]]


def _small(regions: Tensor) -> Tensor:
    """Regions of at most SIDE cells a side, (1, K, h, w)."""
    shrink = min(1.0, SIDE / max(regions.shape[2:]))
    h, w = (max(1, round(shrink * side)) for side in regions.shape[2:])
    return F.adaptive_avg_pool2d(regions, (h, w))
