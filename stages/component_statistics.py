"""Stage: connected components against instances. `python -m stages.component_statistics <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import data_folder, manifest_path, plan_entry, run


def main(profile: str, dataset: str) -> None:
    """Write results/<profile>/component_statistics_<dataset>.md and .csv, and figures/components_<dataset>.png."""
    from sgr.data import dataset as dataset_module
    from sgr.evaluation.component_statistics import measure, thing_classes
    from sgr.files import read_json
    from sgr.report.component_statistics import write

    plan = plan_entry(profile, "component_statistics", dataset)
    manifest = manifest_path(profile, dataset)
    archive = Path("work", profile, "components", f"{dataset}.zip")
    statistics = measure(data_folder(plan, manifest), read_json(manifest), plan["split"], archive)
    write(
        statistics,
        profile=profile,
        dataset=dataset,
        split=plan["split"],
        classes=dataset_module(dataset).CLASSES,
        things=thing_classes(dataset),
        L=plan["L"],
        opening=plan["opening"],
        min_share=plan["min_share"],
    )


if __name__ == "__main__":
    run(main, "profile", "dataset")
