"""Stage: connected components against instances. `python -m stages.component_statistics <profile> <dataset>`."""

from __future__ import annotations

from stages.common import run


def main(profile: str, dataset: str) -> None:
    """Write results/<profile>/component_statistics_<dataset>.md, .csv and figures/components_<dataset>.png, .pdf."""
    import numpy as np

    from sgr.datasets import describe
    from sgr.evaluation.component_statistics import measure
    from sgr.files import read_json
    from sgr.plan import inputs
    from sgr.plan.entry import read
    from sgr.plan.stage_settings import StatisticsSettings
    from sgr.report.component_statistics import write

    entry = read(StatisticsSettings, profile, "component_statistics", dataset)
    components, about = entry.settings.components, describe(dataset)
    things = np.array([name in about.things for name in about.classes])
    statistics = measure(
        inputs.data_folder(profile, dataset, entry.generated),
        read_json(inputs.manifest(profile, dataset)),
        components.split,
        inputs.components(profile, dataset),
        things,
    )
    write(
        statistics,
        profile=profile,
        generated=entry.generated,
        dataset=dataset,
        split=components.split,
        official=entry.official[components.split],
        classes=about.classes,
        things=things,
        L=entry.settings.L,
        opening=components.opening,
        min_share=components.min_share,
    )


if __name__ == "__main__":
    run(main, "profile", "dataset")
