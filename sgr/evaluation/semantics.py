"""The semantics job of one row and one seed: S_C and D_C of its tokens (section 4), and examples for Figure 4."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from sgr.data.files import IGNORE
from sgr.data.manifest import check
from sgr.device import measured, reproducible
from sgr.evaluation.inference import padded, resized
from sgr.evaluation.settings import EvaluationFiles, SemanticsSettings
from sgr.evaluation.trained_network import evaluation_loader, trained_network
from sgr.files import read_json, write_bytes, write_json
from sgr.models.network import Network
from sgr.semantics import token_semantics

SHOWN = 6  # regions kept of each example
ALIKE = 0.7  # cosine from which two regions count as one to look at


def semantics(settings: SemanticsSettings, files: EvaluationFiles, seed: int, folder: Path) -> None:
    """Write semantics.json (means over the images that have a label) and tokens.npz (examples, evenly spread)."""
    seen, split = settings.seen, settings.split
    device = reproducible(seed, seen.threads)
    manifest = read_json(files.manifest)
    check(files.data, manifest)
    network = trained_network(seen, files, device)
    total = len(manifest["splits"][split])
    shown = {(2 * index + 1) * total // (2 * settings.examples) for index in range(settings.examples)}
    values: list[tuple[float, float]] = []
    examples: dict[str, Any] = {}
    classes = np.zeros(256, dtype=bool)
    began = time.monotonic()
    loader = evaluation_loader(seen, files, manifest, split)
    title = f"{files.title} tokens on {split}"
    for number, (name, image, label) in enumerate(
        tqdm(loader, desc=title, total=total, unit="image", mininterval=1)
    ):
        classes[label.numpy()] = True
        regions, covered = image_regions(network, image.to(device), seen.resize)
        cells = extended(label.to(device), covered, IGNORE)
        result = token_semantics(regions, cells, seen.network.classes, IGNORE)
        if not bool(result.semantics.isnan()):
            values.append((float(result.semantics), float(result.diversity)))
        if number in shown:
            index = len(examples) // 5
            examples |= {
                f"image_{index}": image[0].permute(1, 2, 0).numpy(),
                f"label_{index}": label[0].numpy(),
                f"regions_{index}": most_active(regions[0]).cpu().half().numpy(),
                f"name_{index}": np.array(name),
                f"covers_{index}": np.array(cells.shape[1:]),  # pixels under the regions, padding included
            }
    means = np.mean(values, axis=0) if values else (None, None)
    write_json(
        folder / "semantics.json",
        {
            split: {
                "semantics_class": None if means[0] is None else float(means[0]),
                "diversity_class": None if means[1] is None else float(means[1]),
                "images": len(values),
                "classes": int(classes[: seen.network.classes].sum()),
            }
        },
    )
    packed = io.BytesIO()
    np.savez_compressed(packed, count=np.array(len(examples) // 5), **examples)
    write_bytes(folder / "tokens.npz", packed.getvalue())
    write_json(folder / "measured.json", measured(device, total / (time.monotonic() - began)))


@torch.inference_mode()
def image_regions(network: Network, image: Tensor, resize: float) -> tuple[Tensor, tuple[int, int]]:
    """Regions (1, K, h, w) of a full image, and the height and width in its pixels that their cells cover.

    The image is padded to a multiple of the stride, so its cells may cover more than the image.
    """
    inputs = padded(resized(image, resize), network.backbone.stride)
    H, W = image.shape[2:]
    covered = max(H, round(inputs.shape[2] / resize)), max(W, round(inputs.shape[3] / resize))
    return network.regions(network(inputs)), covered


def extended(maps: Tensor, covered: tuple[int, int], value: int) -> Tensor:
    """Maps (..., H, W) continued by `value` to the height and width that the cells cover."""
    H, W = maps.shape[-2:]
    return F.pad(maps, (0, covered[1] - W, 0, covered[0] - H), value=value)


def most_active(regions: Tensor) -> Tensor:
    """The regions (K, h, w) with the largest sums, most active first, scaled to [0, 1]: (SHOWN, h, w).

    A region that is empty, or looks like one already chosen, comes only after the others: tokens may share a region.
    """
    order = regions.sum((1, 2)).argsort(descending=True, stable=True)
    units = F.normalize(regions[order].flatten(1), dim=1)
    cosines = (units @ units.T).cpu()
    chosen: list[int] = []
    for index in range(len(order)):
        if cosines[index, index] > 0 and not (cosines[index, chosen] > ALIKE).any():
            chosen.append(index)
    chosen += [index for index in range(len(order)) if index not in chosen]
    shown = regions[order[chosen[:SHOWN]]]
    return shown / shown.amax((1, 2), keepdim=True).clamp_min(1e-12)
