"""Stage: make a dataset present and describe it. `python -m stages.download <profile> <dataset>`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from stages.common import generated_folder, own_folder, plan_entry, run


def main(profile: str, dataset: str) -> None:
    """Generate the dataset, or verify the user's or download the official one; its manifest to work/<profile>/data/."""
    plan = plan_entry(profile, "download", dataset)
    manifest = Path("work", profile, "data", f"{dataset}.json")
    (_download if plan["data"] == "folder" else _generate)(plan, manifest)


def _download(plan: dict[str, Any], manifest: Path) -> None:
    from sgr.datasets import describe
    from sgr.download.check import count
    from sgr.download.manifest import make
    from sgr.download.present import make_present
    from sgr.files import write_json
    from sgr.jobs.cluster import main_root, settings

    dataset = plan["dataset"]
    folder, cluster = own_folder(dataset), settings()
    if cluster.data_folder(dataset) is None:
        (main_root() / "data").mkdir(exist_ok=True)
    make_present(dataset, describe(dataset).archives, folder, cluster.mirror)
    # a part of a dataset may be all that somebody wants; the manifest fixes which
    problems = count(dataset, folder).problems
    for problem in problems[:6]:
        print(f"warning: {problem}")
    if problems[6:]:
        print(f"warning: {dataset}: and {len(problems) - 6} more, which make data-check names")
    write_json(manifest, make(folder, dataset))


def _generate(plan: dict[str, Any], manifest: Path) -> None:
    from sgr.download.manifest import make
    from sgr.files import write_json
    from sgr.generated.generate import generate
    from sgr.jobs.cluster import main_root
    from sgr.jobs.locks import locked

    dataset, settings = plan["dataset"], plan["generated"]
    parent = main_root() / "data" / "generated"
    aside = parent / f".{dataset}"
    counts = {
        split: settings["images"]["train" if split == plan["train"] else "test"] for split in plan["splits"]
    }
    with locked(parent.parent, f".{dataset}.lock"):
        # what a killed run has left
        shutil.rmtree(aside, ignore_errors=True)
        try:
            generate(dataset, aside / dataset, counts, tuple(settings["size"]), settings["seed"])
            write_json(manifest, make(aside / dataset, dataset))
            folder = generated_folder(main_root(), dataset, manifest)
            if not folder.exists():
                os.replace(aside / dataset, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


if __name__ == "__main__":
    run(main, "profile", "dataset")
