"""Where the inputs of a stage lie on this machine, and the hash of each, for content keys."""

from __future__ import annotations

import os
from pathlib import Path

from sgr.errors import UserError
from sgr.files import sha256_file
from sgr.jobs.cluster import main_root
from sgr.machine import Machine, settings


def manifest(profile: str, dataset: str) -> Path:
    """Where `download` put a dataset's manifest."""
    path = Path("work", profile, "data", f"{dataset}.json").absolute()
    if not path.exists():
        raise UserError(f"{path} is missing: run `python -m sgr repro download@{dataset}`")
    return path


def components(profile: str, dataset: str) -> Path:
    """The archive of the connected components of a dataset."""
    return Path("work", profile, "components", f"{dataset}.zip").absolute()


def weights(profile: str, backbone: str) -> Path:
    """The ImageNet weights of a backbone, converted."""
    return Path("work", profile, "weights", backbone, "weights.safetensors").absolute()


def data_folder(profile: str, dataset: str, generated: bool) -> Path:
    """The dataset's folder on this machine: the user's, or the generated one that belongs to the manifest."""
    again = f"run `python -m sgr repro --force --single-item download@{dataset}`"
    if generated:
        folder = generated_folder(main_root(), dataset, manifest(profile, dataset))
        if not folder.is_dir():
            raise UserError(f"{folder} is missing: {again}")
        return folder
    folder = own_folder(dataset)
    if not folder.is_dir():
        raise UserError(
            f"no folder {folder} for dataset {dataset}: set SGR_DATA, or data in cluster.yaml, to a folder that holds "
            f"{dataset}/, or {again}"
        )
    return folder.absolute()


def own_folder(dataset: str) -> Path:
    """Where a real dataset is or is to be: the folder that the user names, else data/ of the repository."""
    return settings().data_folder(dataset) or main_root() / "data" / dataset


def generated_folder(root: Path, dataset: str, manifest: Path) -> Path:
    """Generated images are named by their manifest: other settings never write over them."""
    return root / "data" / "generated" / f"{dataset}-{sha256_file(manifest)[:16]}"


def loader_workers(machine: Machine) -> int:
    """Processes that load a job's data."""
    if machine.loader_workers is not None:
        return machine.loader_workers
    return min(8, (os.cpu_count() or 1) // 4)
