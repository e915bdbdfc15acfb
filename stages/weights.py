"""Stage: ImageNet weights of a backbone. `python -m stages.weights <profile> <backbone>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import run


def main(profile: str, backbone: str) -> None:
    """Write work/<profile>/weights/<backbone>/: a record of what is used, and the weights where training has any.

    `backbone` is the paper's; a profile may put a smaller one in its place.
    """
    from sgr.files import sha256_file, write_json
    from sgr.machine import settings
    from sgr.models.weights import convert, find
    from sgr.plan.entry import read
    from sgr.plan.stage_settings import WeightsSettings

    wanted = read(WeightsSettings, profile, "weights", backbone).settings
    folder = Path("work", profile, "weights", backbone)
    record: dict[str, object] = {"backbone": wanted.name, "pretrained": wanted.pretrained}
    if wanted.pretrained:
        source = find(wanted.name, wanted.weights, settings().weights)
        convert(wanted.name, wanted.backbone, source, folder / "weights.safetensors")
        record |= {"file": source.name, "sha256": sha256_file(source)}
    write_json(folder / "weights.json", record)


if __name__ == "__main__":
    run(main, "profile", "backbone")
