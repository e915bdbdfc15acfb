"""Stage: make a dataset present and describe it. `python -m stages.download <profile> <dataset>`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common import run

if TYPE_CHECKING:
    from sgr.plan.stage_settings import GeneratedImages


def main(profile: str, dataset: str) -> None:
    """Generate the dataset, or verify the user's or download the official one; its manifest to work/<profile>/data/."""
    from sgr.plan.entry import read
    from sgr.plan.stage_settings import DownloadSettings

    settings = read(DownloadSettings, profile, "download", dataset).settings
    manifest = Path("work", profile, "data", f"{dataset}.json")
    if settings.generated:
        generate(dataset, settings.generated, manifest)
    else:
        download(dataset, manifest)


def download(dataset: str, manifest: Path) -> None:
    """Bring a real dataset into its folder, if it is not there, and write its manifest."""
    from sgr.datasets import describe
    from sgr.download.check import count
    from sgr.download.manifest import make
    from sgr.download.present import make_present
    from sgr.files import write_json
    from sgr.jobs.cluster import main_root
    from sgr.machine import settings
    from sgr.plan.inputs import own_folder

    folder, machine = own_folder(dataset), settings()
    if machine.data_folder(dataset) is None:
        (main_root() / "data").mkdir(exist_ok=True)
    make_present(dataset, describe(dataset).archives, folder, machine.mirror)
    # a part of a dataset may be all that somebody wants; the manifest fixes which
    problems = count(dataset, folder).problems
    for problem in problems[:6]:
        print(f"warning: {problem}")
    if problems[6:]:
        print(f"warning: {dataset}: and {len(problems) - 6} more, which make data-check names")
    write_json(manifest, make(folder, dataset))


def generate(dataset: str, images: GeneratedImages, manifest: Path) -> None:
    """Write a generated dataset into a folder of its own, and its manifest."""
    from sgr.download.manifest import make
    from sgr.files import write_json
    from sgr.generated.generate import generate
    from sgr.jobs.cluster import main_root
    from sgr.jobs.locks import locked
    from sgr.plan.inputs import generated_folder

    parent = main_root() / "data" / "generated"
    aside = parent / f".{dataset}"
    with locked(parent.parent, f".{dataset}.lock"):
        # what a killed run has left
        shutil.rmtree(aside, ignore_errors=True)
        try:
            generate(dataset, aside / dataset, dict(images.images), images.size, images.seed)
            write_json(manifest, make(aside / dataset, dataset))
            folder = generated_folder(main_root(), dataset, manifest)
            if not folder.exists():
                os.replace(aside / dataset, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


if __name__ == "__main__":
    run(main, "profile", "dataset")
