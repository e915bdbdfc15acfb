"""What a trained network sees in one photograph, and the files that say so."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sgr.data.files import Bytes
from sgr.data.samples import channels_first
from sgr.evaluation.semantics import most_active
from sgr.files import write_bytes, write_json
from sgr.use import pictures
from sgr.use.hub import TrainedNetwork
from sgr.use.photographs import shrunk


class Prediction(NamedTuple):
    """Of one photograph.

    Attributes:
        labels: (H, W) uint8, the class of each pixel.
        regions: (R, h, w) float32 in 0..1, the most active first; None of a network without regions.
        covers: height and width in pixels of the photograph that the regions' cells lie over.
    """

    labels: Bytes
    regions: NDArray[np.float32] | None
    covers: tuple[int, int]


@torch.inference_mode()
def predict(network: TrainedNetwork, photo: Bytes, longest: int) -> Prediction:
    """Single-scale, as the row is evaluated; of a photo (H, W, 3) whose longer side is above `longest`, a smaller one.

    The labels then come back to the photo's own size, each pixel with the class of the nearest that was seen.
    """
    seen = shrunk(photo, longest)
    image = channels_first(seen)[None].to(next(network.parameters()).device)
    labels = network(image).argmax(1)[0].byte().cpu().numpy()
    height, width = photo.shape[:2]
    if seen.shape != photo.shape:
        labels = np.array(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
    if not network.has_regions:
        return Prediction(labels, None, (height, width))
    regions, covered = network.regions(image)
    covers = round(covered[0] * height / seen.shape[0]), round(covered[1] * width / seen.shape[1])
    return Prediction(labels, most_active(regions[0]).float().cpu().numpy(), covers)


def shares(labels: Bytes, names: tuple[str, ...]) -> dict[str, float]:
    """The share of the pixels (H, W) of each class that is there, the largest first."""
    counts = np.bincount(labels.ravel(), minlength=len(names))
    order = counts.argsort(kind="stable")[::-1]
    return {names[index]: float(counts[index] / labels.size) for index in order if counts[index]}


def write(
    folder: Path, photo: Bytes, found: Prediction, network: TrainedNetwork, about: dict[str, Any]
) -> None:
    """Write labels.png, overlay.png, shares.json, and regions.png of a network with regions.

    Args:
        photo: (H, W, 3).
        about: what else shares.json says of the photo and the network.
    """
    colours = np.array(network.palette, dtype=np.uint8)
    labels = Image.fromarray(found.labels, "P")
    labels.putpalette(colours.tobytes())
    drawn = {"labels": labels, "overlay": pictures.overlay(photo, found.labels, network.classes, colours)}
    if found.regions is not None:
        drawn["regions"] = pictures.regions(photo, found.regions, found.covers, found.labels, network.classes)
    for name, picture in drawn.items():
        packed = io.BytesIO()
        picture.save(packed, "PNG")
        write_bytes(folder / f"{name}.png", packed.getvalue())
    height, width = found.labels.shape
    share = shares(found.labels, network.classes)
    write_json(folder / "shares.json", {**about, "height": height, "width": width, "shares": share})
