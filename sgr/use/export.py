"""A trained network as files that other programs read: safetensors, a program of torch.export, and ONNX."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from sgr.evaluation.inference import resized
from sgr.use.hub import TrainedNetwork

# As an example any images will do, but for sides of one cell, whose shapes would be taken for constants.
EXAMPLE = (2, 3, 101, 139)


def export(network: TrainedNetwork, folder: Path) -> list[Path]:
    """Write model.safetensors, config.json, README.md, model.pt2 and model.onnx; returns their paths.

    The folder gets all of them or none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export") as aside:
        made = Path(aside)
        network.save_pretrained(made)
        exported = program(network)
        torch.export.save(exported, made / "model.pt2")
        torch.onnx.export(
            exported, input_names=["images"], output_names=["scores"], verbose=False, f=made / "model.onnx"
        )
        names = sorted(path.name for path in made.iterdir())
        for name in names:
            os.replace(made / name, folder / name)
    return [folder / name for name in names]


def program(network: TrainedNetwork) -> ExportedProgram:
    """`images` (B, 3, H, W) float32 in 0..255 -> class scores (B, classes, H, W), for any B, H and W of two cells."""
    sizes = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    with torch.no_grad():
        found = torch.export.export(
            Sized(network).eval(), (torch.zeros(EXAMPLE),), dynamic_shapes={"images": sizes}
        )
    # Torch notes that a batch of one was not the example, since such a tensor is contiguous in more ways than one. The
    # program's own operators do not depend on that.
    found._guards_code = [guard for guard in found._guards_code if not guard.endswith("size()[0] != 1")]
    return found


class Sized(nn.Module):
    """`TrainedNetwork.forward` in operators whose shapes a compiler can follow for any size.

    `F.pad` and slices ask whether there is anything to pad or to cut, and the answer for the example would be compiled.
    """

    def __init__(self, trained: TrainedNetwork) -> None:
        super().__init__()
        self.network, self.resize = trained.network, trained.resize

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes, H, W)."""
        small = resized(images, self.resize)
        height, width = small.shape[2:]
        stride = self.network.backbone.stride
        # the last row and column again and again, as `sgr.evaluation.inference.padded` has it
        rows = torch.arange((height + stride - 1) // stride * stride, device=images.device).clamp_max(height - 1)
        columns = torch.arange((width + stride - 1) // stride * stride, device=images.device).clamp_max(width - 1)
        inputs = small.index_select(2, rows).index_select(3, columns)
        padded = self.network.scores(self.network(inputs), (inputs.shape[2], inputs.shape[3]))
        found = padded.index_select(2, torch.arange(height, device=images.device))
        found = found.index_select(3, torch.arange(width, device=images.device))
        if self.resize == 1:
            return found
        return F.interpolate(found, images.shape[2:], mode="bilinear", align_corners=False)
