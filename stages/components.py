"""Stage: connected components of the training labels. `python -m stages.components <profile> <dataset>`."""

from __future__ import annotations

from stages.common import run


def main(profile: str, dataset: str) -> None:
    """Write work/<profile>/components/<dataset>.zip."""
    from sgr.data.component_extraction import extract
    from sgr.files import read_json
    from sgr.plan import inputs
    from sgr.plan.entry import read
    from sgr.plan.stage_settings import ComponentSettings

    entry = read(ComponentSettings, profile, "components", dataset)
    extract(
        inputs.data_folder(profile, dataset, entry.generated),
        read_json(inputs.manifest(profile, dataset)),
        entry.settings.split,
        inputs.components(profile, dataset),
        opening=entry.settings.opening,
        min_share=entry.settings.min_share,
    )


if __name__ == "__main__":
    run(main, "profile", "dataset")
