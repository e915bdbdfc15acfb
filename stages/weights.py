"""Stage: ImageNet weights of a backbone. `python -m stages.weights <profile> <backbone>`."""

from __future__ import annotations

from pathlib import Path

from sgr.errors import UserError
from stages.common import run


def main(profile: str, backbone: str) -> None:
    """Write work/<profile>/weights/<backbone>/: a record of what is used, and the weights where training has any.

    `backbone` is the paper's; a profile may put a smaller one in its place. The record of an earlier run stays until
    this one ends: of some files only the first digits of the checksum are published, and so the first is trusted.
    """
    from sgr.files import read_json, sha256_file, write_json
    from sgr.machine import settings
    from sgr.models.weights import convert, find
    from sgr.plan.entry import read
    from sgr.plan.stage_settings import WeightsSettings

    wanted = read(WeightsSettings, profile, "weights", backbone).settings
    folder = Path("work", profile, "weights", backbone)
    earlier = folder / "weights.json"
    record: dict[str, object] = {"backbone": wanted.name, "pretrained": wanted.pretrained}
    if wanted.pretrained:
        first = read_json(earlier) if earlier.exists() else {}
        source = find(wanted.name, wanted.weights, settings().weights)
        record |= {"file": source.name, "sha256": sha256_file(source)}
        if first.get("file") == source.name and first["sha256"] != record["sha256"]:
            raise UserError(
                f"{source} has SHA-256 {record['sha256']}, but {first['sha256']} when it was first used: get that file "
                f"again, or remove {earlier} to trust this one"
            )
        convert(wanted.name, wanted.backbone, source, folder / "weights.safetensors")
    else:
        (folder / "weights.safetensors").unlink(missing_ok=True)
    write_json(earlier, record)


if __name__ == "__main__":
    run(main, "profile", "backbone")
