"""Stage: what a dataset's leading rows predict. `python -m stages.predictions <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import run


def main(profile: str, dataset: str) -> None:
    """Write work/<profile>/predictions/<dataset>.npz, from the first seed of each row."""
    from sgr.evaluation.predictions import predict
    from sgr.plan.entry import read
    from sgr.plan.stage_settings import PredictionsSettings

    work = Path("work", profile)
    settings = read(PredictionsSettings, profile, "predictions", dataset).settings
    models = {
        row: work / "train" / row / str(seed) / "model.safetensors" for row, seed in settings.seeds.items()
    }
    examples = work / "tokens" / dataset / f"{settings.examples}.npz"
    predict(settings.rows, models, examples, work / "predictions" / f"{dataset}.npz")


if __name__ == "__main__":
    run(main, "profile", "dataset")
