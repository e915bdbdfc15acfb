"""The settings of this machine: where jobs run, and what the project reads there; they never change a result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from sgr.datasets import names
from sgr.jobs.cluster import Cluster, Folder, main_root
from sgr.jobs.project import Project
from sgr.project import PROJECT


def _of_all(folders: Any) -> Any:
    return folders if folders is None or isinstance(folders, dict) else {"": folders}


def _described(name: str) -> str:
    if name and name not in names():
        raise ValueError(f"there is no such dataset, use {', '.join(names())}")
    return name


Dataset = Annotated[str, AfterValidator(_described)]


class Machine(Cluster):
    """cluster.yaml, see cluster.example.yaml; folders are absolute.

    Attributes:
        data: the folder of each dataset, or by the empty name the one that holds a folder a dataset.
        mirror: address or folder with the datasets' archives; an address may hold a password, and is never shown.
        weights: folder of ImageNet weights that are there already.
        loader_workers: processes that load a job's data.
        checkpoint_seconds: time between two checkpoints.
        watch_images: on which mIoU is measured at each checkpoint while stages wait for trainings; 0 for the curves of
            losses alone, None for neither.
        tensorboard: whether what is watched goes to TensorBoard too.
    """

    project: ClassVar[Project] = PROJECT

    data: Annotated[dict[Dataset, Folder], BeforeValidator(_of_all)] | None = None
    mirror: Annotated[str, Field(min_length=1)] | None = Field(default=None, repr=False)
    weights: Folder | None = None
    loader_workers: int | None = Field(default=None, ge=0, le=256)
    checkpoint_seconds: float = Field(default=120, ge=0)
    watch_images: int | None = Field(default=None, ge=0)
    tensorboard: bool = False

    def data_folder(self, dataset: str) -> Path | None:
        """The user's own folder of a dataset, or None when no setting names one."""
        folders = self.data or {}
        return folders[""] / dataset if "" in folders else folders.get(dataset)

    def dataset(self, name: str) -> Path:
        """Where a real dataset is or is to be: the folder that the user names, else data/ of the repository."""
        return self.data_folder(name) or main_root() / "data" / name


def settings(root: Path | None = None) -> Machine:
    """Those of `<root>/cluster.yaml` and the SGR_… variables; see `Cluster.read`."""
    return Machine.read(root)
