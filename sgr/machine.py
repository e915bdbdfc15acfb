"""The settings of this machine: where jobs run, and what the project reads there; they never change a result."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sgr.jobs.cluster import Cluster, main_root
from sgr.jobs.project import Project
from sgr.project import PROJECT


class Machine(Cluster):
    """cluster.yaml, see cluster.example.yaml; folders are absolute.

    Attributes:
        data: folder that holds one folder a dataset, or the folder of each dataset.
        mirror: address or folder with the datasets' archives; an address may hold a password, and is never shown.
        weights: folder of ImageNet weights that are there already.
        loader_workers: processes that load a job's data.
        checkpoint_seconds: time between two checkpoints.
    """

    project: ClassVar[Project] = PROJECT

    data: Path | dict[str, Path] | None = None
    mirror: str | None = Field(default=None, repr=False)
    weights: Path | None = None
    loader_workers: int | None = Field(default=None, ge=0)
    checkpoint_seconds: float = Field(default=120, ge=0)

    def data_folder(self, dataset: str) -> Path | None:
        """The user's own folder of a dataset, or None when no setting names one."""
        if isinstance(self.data, dict):
            return self.data.get(dataset)
        return None if self.data is None else self.data / dataset

    def dataset(self, name: str) -> Path:
        """Where a real dataset is or is to be: the folder that the user names, else data/ of the repository."""
        return self.data_folder(name) or main_root() / "data" / name


def settings(root: Path | None = None) -> Machine:
    """Those of `<root>/cluster.yaml` and the SGR_… variables; see `Cluster.read`."""
    return Machine.read(root)
