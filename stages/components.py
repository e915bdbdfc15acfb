"""Stage: connected components of the training labels. `python -m stages.components <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import data_folder, manifest_path, plan_entry, run


def main(profile: str, dataset: str) -> None:
    """Write work/<profile>/components/<dataset>.zip."""
    from sgr.data.component_extraction import extract
    from sgr.files import read_json

    plan = plan_entry(profile, "components", dataset)
    manifest = manifest_path(profile, dataset)
    extract(
        data_folder(plan, manifest),
        read_json(manifest),
        plan["split"],
        Path("work", profile, "components", f"{dataset}.zip"),
        opening=plan["opening"],
        min_share=plan["min_share"],
    )


if __name__ == "__main__":
    run(main, "profile", "dataset")
