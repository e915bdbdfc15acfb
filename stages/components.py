"""Stage: connected components of the training labels. `python -m stages.components <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import data_folder, manifest_path, run


def main(profile: str, dataset: str) -> None:
    """Write work/<profile>/components/<dataset>.zip."""
    from sgr.data.component_extraction import extract
    from sgr.files import read_json
    from sgr.plan.entry import read
    from sgr.plan.stage_settings import ComponentSettings

    entry, manifest = read(ComponentSettings, profile, "components", dataset), manifest_path(profile, dataset)
    extract(
        data_folder(entry, manifest),
        read_json(manifest),
        entry.settings.split,
        Path("work", profile, "components", f"{dataset}.zip"),
        opening=entry.settings.opening,
        min_share=entry.settings.min_share,
    )


if __name__ == "__main__":
    run(main, "profile", "dataset")
