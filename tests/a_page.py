"""A small page to look at: this checkout's tables and curves of mini, and tokens of three made-up networks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from sgr.plan.params import load
from sgr.report.html import write_page
from sgr.report.labels import networks
from sgr.report.tables import splits_of

ROOT = Path(__file__).parent.parent
DATASET, ROWS = "ade20k", ("ade20k-fcn-glore", "ade20k-fcn-sgr", "ade20k-maskformer")
SIZE, CELLS, TOKENS, CLASSES = (24, 32), (3, 4), 6, 150
CLAIMS = {
    "rule": "A claim holds where every number is on its side.",
    "claims": [
        {
            "key": "semantic",
            "section": "5.4",
            "words": "our tokens are more semantic",
            "test": "S_C of SGR is lower than GloRe's",
            "verdict": "holds",
            "reason": "",
            "figures": [{"text": "−0.31 [−0.42, −0.20], n = 8"}, {"text": "−0.29 [−0.40, −0.18], n = 8"}],
        },
        {
            "key": "gain",
            "section": "5.3",
            "words": "SGR gains on DeepLabV3",
            "test": "mIoU, single-scale",
            "verdict": "not tested",
            "reason": "generated images",
            "figures": [],
        },
    ],
}


def write_tokens(work: Path, images: int = 2) -> None:
    """Image 0 is wall on the left and sky on the right; token 10 + n of each network holds the n-th cell alone."""
    label = np.zeros(SIZE, dtype=np.uint8)
    label[:, 16:] = 2
    regions = np.zeros((TOKENS, *CELLS), dtype=np.uint8)
    for n in range(TOKENS):
        regions[n].flat[n] = 255
    votes = np.zeros((TOKENS, CLASSES), dtype=np.float32)
    votes[:, 0], votes[:, 2] = 0.75, 0.25
    for number, row in enumerate(ROWS):
        examples = {"count": np.array(images)}
        looked = {"tokens": 10 + np.arange(TOKENS), "peaks": np.ones(TOKENS)}
        for i in range(images):
            examples |= {
                f"name_{i}": np.array(f"street_{i}"),
                f"image_{i}": np.full((*SIZE, 3), 60 + 40 * i, dtype=np.uint8),
                f"label_{i}": label,
                f"regions_{i}": regions.astype(np.float16),
            }
            looked |= {
                f"prediction_{i}": np.roll(label, 4 * number, axis=1),
                f"regions_{i}": regions,
                f"votes_{i}": votes,
                f"covers_{i}": np.array(SIZE),
                f"semantics_{i}": np.array(0.25 + 0.125 * number),
                f"diversity_{i}": np.array(np.nan if number else 0.5),
            }
        for kind, arrays in (("tokens", examples), ("explain", looked)):
            path = work / kind / DATASET / f"{row}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, **arrays)


def write(root: Path, tokens: bool = True) -> Path:
    """The page below `root`: returns its folder, results/mini."""
    folder = root / "results" / "mini"
    for path in (ROOT / "results" / "mini").rglob("*"):
        if path.suffix in (".csv", ".json") and "page" not in path.parts and path.name != "claims.json":
            copy = folder / path.relative_to(ROOT / "results" / "mini")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    (folder / "claims.json").write_text(json.dumps(CLAIMS))
    if tokens:
        write_tokens(root / "work" / "mini")
    again(root)
    return folder


def again(root: Path) -> None:
    """Write the page of what lies below `root`."""
    params = load(ROOT / "params.yaml")
    write_page("mini", dict(networks(params)), splits_of(params), root / "results", root / "work")
