"""Stage: what the networks of a dataset make of its example images. `python -m stages.explain <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.common import run


def main(profile: str, dataset: str) -> None:
    """Write work/<profile>/explain/<dataset>/<row>.npz for each row with regions, of its first seed."""
    import io

    import numpy as np
    from tqdm import tqdm

    from sgr.evaluation.explain import explain
    from sgr.files import write_bytes
    from sgr.plan.entry import read
    from sgr.plan.stage_settings import ExplainSettings
    from sgr.report.examples import load

    rows, work = read(ExplainSettings, profile, "explain", dataset).settings.rows, Path("work", profile)
    for row, (seen, seed) in tqdm(rows.items(), desc=f"tokens of {dataset}", unit="row", mininterval=1):
        examples = load(work / "tokens" / dataset / f"{row}.npz")
        images, labels = [one.image for one in examples], [one.label for one in examples]
        model = work / "train" / row / str(seed) / "model.safetensors"
        packed = io.BytesIO()
        arrays: dict[str, Any] = explain(seen, model, seed, images, labels)
        np.savez_compressed(packed, **arrays)
        write_bytes(work / "explain" / dataset / f"{row}.npz", packed.getvalue())


if __name__ == "__main__":
    run(main, "profile", "dataset")
