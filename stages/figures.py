"""Stage: draw a dataset's figures. `python -m stages.figures <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import run


def main(profile: str, dataset: str) -> None:
    """Write results/<profile>/figures/tokens_<dataset>.png and curves_<dataset>.png."""
    from sgr.plan.entry import read
    from sgr.report.curves import write_curves
    from sgr.report.results import profile_folder
    from sgr.report.settings import FiguresSettings
    from sgr.report.tokens import write_tokens

    rows = read(FiguresSettings, profile, "figures", dataset).settings.rows
    results, examples = profile_folder(Path("results"), profile), Path("work", profile, "tokens", dataset)
    write_tokens(examples, dataset, rows, results / "figures" / f"tokens_{dataset}.png")
    write_curves(results / "curves" / dataset, dataset, rows, results / "figures" / f"curves_{dataset}.png")


if __name__ == "__main__":
    run(main, "profile", "dataset")
