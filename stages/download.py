"""Stage: make a dataset present and describe it. `python -m stages.download <profile> <dataset>`."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from stages.common import data_folder, generated_folder, plan_entry, run


def main(profile: str, dataset: str) -> None:
    """Generate the dataset or verify the user's folder, and write its manifest to work/<profile>/data/."""
    from sgr.data.manifest import make
    from sgr.files import write_json
    from sgr.launch.cluster import main_root

    plan = plan_entry(profile, "download", dataset)
    manifest = Path("work", profile, "data", f"{dataset}.json")
    if plan["data"] == "folder":
        write_json(manifest, make(data_folder(plan, manifest), dataset))
        return
    from sgr.data.generate import generate

    parent = main_root() / "data" / "generated"
    parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{dataset}-", dir=parent))
    try:
        settings = plan["generated"]
        counts = {
            split: settings["images"]["train" if split == plan["train"] else "test"]
            for split in plan["splits"]
        }
        generate(dataset, aside / dataset, counts, tuple(settings["size"]), settings["seed"])
        write_json(manifest, make(aside / dataset, dataset))
        folder = generated_folder(main_root(), dataset, manifest)
        if not folder.exists():
            os.replace(aside / dataset, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


if __name__ == "__main__":
    run(main, "profile", "dataset")
