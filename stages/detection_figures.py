"""Stage: draw Table 3 and its training curves. `python -m stages.detection_figures <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import run


def main(profile: str, dataset: str) -> None:
    """Write average_precision and curves_<dataset>, each .png and .pdf, to results/<profile>/figures."""
    from sgr.plan.entry import read
    from sgr.report.average_precision import write_average_precision
    from sgr.report.curves import write_curves
    from sgr.report.results import profile_folder
    from sgr.report.settings import FiguresSettings

    settings = read(FiguresSettings, profile, "detection_figures", dataset).settings
    rows, results = settings.rows, profile_folder(Path("results"), profile)
    figures = results / "figures"
    write_average_precision(results, dataset, settings.split, rows, figures / "average_precision.png")
    write_curves(results / "curves" / dataset, dataset, rows, figures / f"curves_{dataset}.png")


if __name__ == "__main__":
    run(main, "profile", "dataset")
