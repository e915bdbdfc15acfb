"""Stage: draw a dataset's figures. `python -m stages.figures <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import run


def main(profile: str, dataset: str) -> None:
    """Write tokens, predictions, class_iou and curves, each _<dataset>.png and .pdf, to results/<profile>/figures."""
    from sgr.plan.entry import read
    from sgr.report.class_iou import write_class_iou
    from sgr.report.curves import write_curves
    from sgr.report.predictions import write_predictions
    from sgr.report.results import profile_folder
    from sgr.report.settings import FiguresSettings
    from sgr.report.tokens import write_tokens

    settings = read(FiguresSettings, profile, "figures", dataset).settings
    rows, results, work = settings.rows, profile_folder(Path("results"), profile), Path("work", profile)
    figures, examples = results / "figures", work / "tokens" / dataset
    predictions = work / "predictions" / f"{dataset}.npz"
    write_tokens(examples, dataset, rows, figures / f"tokens_{dataset}.png")
    write_predictions(predictions, examples, dataset, rows, figures / f"predictions_{dataset}.png")
    write_class_iou(results, dataset, settings.split, rows, figures / f"class_iou_{dataset}.png")
    write_curves(results / "curves" / dataset, dataset, rows, figures / f"curves_{dataset}.png")


if __name__ == "__main__":
    run(main, "profile", "dataset")
