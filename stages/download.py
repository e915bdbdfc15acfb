"""Stage: make a dataset present and describe it. `python -m stages.download <profile> <dataset>`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common import run

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        download(profile, dataset, settings.subset, manifest)


def download(profile: str, dataset: str, subset: Mapping[str, int] | None, manifest: Path) -> None:
    """Bring a real dataset into its folder, if it is not there, and write its manifest, or that of a part of it."""
    from sgr.datasets import describe
    from sgr.download.check import demand_whole
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
    if subset is None:
        file = f"params/profiles/{profile}.yaml"
        demand_whole(
            dataset, folder, f"or ask for N images of each split by `subset: {{{dataset}: N}}` in {file}"
        )
    write_json(manifest, make(folder, dataset, subset))


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
