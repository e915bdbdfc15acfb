"""What trained networks predict on the example images of the token figure, single-scale."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sgr.device import memory_format, reproducible
from sgr.evaluation.inference import scores
from sgr.evaluation.settings import Seen
from sgr.files import write_bytes
from sgr.models import weights_file
from sgr.models.network import build


@torch.inference_mode()
def predict(rows: Mapping[str, Seen], models: Mapping[str, Path], examples: Path, path: Path) -> None:
    """Write the label maps of every network as one file: `<row>_<number>`, (H, W) uint8 each.

    Args:
        rows, models: networks by row, and their weights.
        examples: images of the semantics job, `image_<number>`, (H, W, 3) uint8.
    """
    with np.load(examples, allow_pickle=False) as data:
        images = [data[f"image_{number}"] for number in range(int(data["count"]))]
    found: dict[str, Any] = {}
    for row, seen in rows.items():
        device = reproducible(0, seen.threads)
        network = build(seen.network)
        network.load_state_dict(weights_file.read(models[row]))
        network.to(device).to(memory_format=memory_format(seen.channels_last))
        network.eval()
        for number, image in enumerate(images):
            pixels = torch.from_numpy(image).permute(2, 0, 1)[None].to(device)
            of_classes = scores(network, pixels, image.shape[:2], seen.resize, flip=False)
            found[f"{row}_{number}"] = of_classes.argmax(1)[0].to(torch.uint8).cpu().numpy()
    packed = io.BytesIO()
    np.savez_compressed(packed, **found)
    write_bytes(path, packed.getvalue())
