"""Stage: ImageNet weights of a backbone. `python -m stages.weights <profile> <backbone>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import plan_entry, run


def main(profile: str, backbone: str) -> None:
    """Write work/<profile>/weights/<backbone>/: a record of what is used, and the weights where training has any.

    `backbone` is the paper's; a profile may put a smaller one in its place.
    """
    from sgr.files import sha256_file, write_json
    from sgr.jobs.cluster import settings
    from sgr.models.weights import convert, find

    plan = plan_entry(profile, "weights", backbone)
    folder = Path("work", profile, "weights", backbone)
    record = {"backbone": plan["backbone"], "pretrained": plan["pretrained"]}
    if plan["pretrained"]:
        source = find(plan["backbone"], settings().weights)
        convert(plan["backbone"], source, folder / "weights.safetensors")
        record |= {"file": source.name, "sha256": sha256_file(source)}
    write_json(folder / "weights.json", record)


if __name__ == "__main__":
    run(main, "profile", "backbone")
