"""Stage: draw a dataset's figures. `python -m stages.figures <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import run


def main(profile: str, dataset: str) -> None:
    """Write results/<profile>/figures/tokens_<dataset>.png and curves_<dataset>.png."""
    from sgr.data import dataset as dataset_module
    from sgr.report.curves import write_curves
    from sgr.report.results import profile_folder
    from sgr.report.tokens import write_tokens

    results = profile_folder(Path("results"), profile)
    classes = dataset_module(dataset).CLASSES
    figures = results / "figures"
    write_tokens(
        Path("work") / profile / "tokens" / dataset, dataset, classes, figures / f"tokens_{dataset}.png"
    )
    write_curves(results / "curves" / dataset, dataset, figures / f"curves_{dataset}.png")


if __name__ == "__main__":
    run(main, "profile", "dataset")
