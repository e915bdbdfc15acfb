"""A trained network as files that other programs read: safetensors, a program of torch.export, and ONNX."""

from __future__ import annotations

import os
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from sgr.use.hub import TrainedNetwork

# As an example any images will do, but for sides of one cell, whose shapes would be taken for constants.
EXAMPLE = (2, 3, 101, 139)

# Parts that no file can have for images of any size, and why: of both programs, and of ONNX alone.
OF_ONE_SIZE = {
    "sgr.models.backbones.swin:body": "Swin fills its windows or not by the size of the example",
    "sgr.models.heads.mask2former:head": "Mask2Former's deformable attention splits maps by the size of the example",
}
NOT_IN_ONNX = {
    "sgr.models.backbones.mit:body": "onnxruntime fails at a reshape in the attention of Mix Transformer"
}


def export(network: TrainedNetwork, folder: Path) -> list[Path]:
    """Write model.safetensors, config.json, README.md, and model.pt2 and model.onnx unless `obstacles` has them.

    The folder gets all of them or none. Returns their paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export") as aside:
        made = Path(aside)
        network.save_pretrained(made)
        hindered = obstacles(network)
        if "model.pt2" not in hindered:
            exported = program(network)
            torch.export.save(exported, made / "model.pt2")
        if "model.onnx" not in hindered:
            onnx = torch.onnx.export(exported, input_names=["images"], output_names=["scores"], verbose=False)
            assert onnx is not None
            onnx.save(made / "model.onnx")
        written = sorted(path.name for path in made.iterdir())
        for name in written:
            os.replace(made / name, folder / name)
    return [folder / name for name in written]


def obstacles(network: TrainedNetwork) -> dict[str, str]:
    """The programs that the network cannot have for images of any size, each with the reason."""
    both = [OF_ONE_SIZE[part] for part in network.parts if part in OF_ONE_SIZE]
    onnx = both + [NOT_IN_ONNX[part] for part in network.parts if part in NOT_IN_ONNX]
    return {name: why[0] for name, why in {"model.pt2": both, "model.onnx": onnx}.items() if why}


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

    `F.pad` and slices ask whether there is anything to pad or to cut, and the answer for the example would be compiled;
    ONNX has no `round` of a size.
    """

    def __init__(self, trained: TrainedNetwork) -> None:
        super().__init__()
        self.network, self.resize = trained.network, trained.resize

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes, H, W)."""
        small = images if self.resize == 1 else self._resized(images)
        height, width = small.shape[2:]
        stride = self.network.backbone.stride
        # the last row and column again and again, as `sgr.evaluation.inference.padded` has it
        rows = _count((height + stride - 1) // stride * stride, images).clamp_max(height - 1)
        columns = _count((width + stride - 1) // stride * stride, images).clamp_max(width - 1)
        inputs = small.index_select(2, rows).index_select(3, columns)
        padded = self.network.scores(self.network(inputs), (inputs.shape[2], inputs.shape[3]))
        found = padded.index_select(2, _count(height, images)).index_select(3, _count(width, images))
        if self.resize == 1:
            return found
        return F.interpolate(found, images.shape[2:], mode="bilinear", align_corners=False)

    def _resized(self, images: Tensor) -> Tensor:
        """As `sgr.evaluation.inference.resized` has it, closer than ONNX's own filter does."""
        height, width = images.shape[2:]
        rows = _filter(height, _rounded(height, self.resize), images)
        columns = _filter(width, _rounded(width, self.resize), images)
        return rows @ images @ columns.T


def _filter(before: Any, after: Any, like: Tensor) -> Tensor:
    """Weights (after, before) of an antialiased linear interpolation: a triangle around the centre of each pixel."""
    pixels, wanted = _count(before, like).float(), _count(after, like).float()
    scale = (pixels[-1] + 1) / (wanted[-1] + 1)
    centres = (wanted + 0.5)[:, None] * scale
    weights = (1 - ((pixels + 0.5 - centres) / scale.clamp_min(1)).abs()).clamp_min(0)
    return weights / weights.sum(1, keepdim=True)


def _count(number: Any, like: Tensor) -> Tensor:
    return torch.arange(number, device=like.device)


def _rounded(side: Any, scale: float) -> Any:
    """max(1, round(scale * side)), a half to the even neighbour, in the algebra that a compiler has."""
    above, below = Fraction(str(scale)).as_integer_ratio()
    whole, rest = (2 * above * side + below) // (2 * below), (2 * above * side + below) % (2 * below)
    return torch.sym_max(1, whole - whole % 2 * (1 - torch.sym_min(1, rest)))
