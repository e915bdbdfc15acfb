"""Stage: what the networks make of the example images, for the page. `python -m stages.explain <profile>`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.common import run


def main(profile: str) -> None:
    """Write work/<profile>/explain/<dataset>/<row>.npz for each row with example images, of its first seed."""
    import io

    import numpy as np
    from tqdm import tqdm

    from sgr.evaluation.explain import explain
    from sgr.files import write_bytes
    from sgr.plan.entry import read
    from sgr.plan.stage_settings import ExplainSettings
    from sgr.report.examples import load

    rows, work = read(ExplainSettings, profile, "explain", "all").settings.rows, Path("work", profile)
    (work / "explain").mkdir(parents=True, exist_ok=True)
    for row, of in tqdm(rows.items(), desc="tokens", unit="row", mininterval=1):
        tokens = work / "tokens" / of.dataset / f"{row}.npz"
        if not tokens.exists():  # by hand, in a profile of which only some rows are trained
            continue
        examples = load(tokens)
        images, labels = [one.image for one in examples], [one.label for one in examples]
        model = work / "train" / row / str(of.seed) / "model.safetensors"
        arrays: dict[str, Any] = explain(of.seen, model, of.seed, images, labels)
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)
        write_bytes(work / "explain" / of.dataset / f"{row}.npz", packed.getvalue())


if __name__ == "__main__":
    run(main, "profile")
