"""Where jobs run: cluster.yaml (see cluster.example.yaml) and the environment; it never changes a result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sgr.errors import UserError

ENVIRONMENT = {
    "executor": "SGR_EXECUTOR",
    "data": "SGR_DATA",
    "mirror": "SGR_MIRROR",
    "weights": "SGR_WEIGHTS",
    "jobs": "SGR_JOBS",
    "max_jobs": "SGR_MAX_JOBS",
    "checkpoint_seconds": "SGR_CHECKPOINT_SECONDS",
}


class Slurm(BaseModel):
    """What one job asks of SLURM."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    # SLURM may signal a job's end a minute early and submitit asks for 90 s more: shorter jobs get nowhere.
    time_minutes: int = Field(default=24 * 60, ge=30)
    memory_gb: int = Field(default=16, ge=1)
    cpus: int = Field(default=4, ge=1)
    gpus: int = Field(default=1, ge=0)
    setup: list[str] = []


class Cluster(BaseModel):
    """The settings of this machine; folders are absolute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    executor: Literal["inline", "local", "slurm"] = "inline"
    data: Path | dict[str, Path] | None = None
    mirror: str | None = None
    weights: Path | None = None
    jobs: Path = Path("jobs")
    loader_workers: int | None = Field(default=None, ge=0)
    max_jobs: int = Field(default=1, ge=1)
    checkpoint_seconds: float = Field(default=120, ge=0)
    slurm: Slurm = Slurm()

    def data_folder(self, dataset: str) -> Path | None:
        """The user's own folder of a dataset, or None when no setting names one."""
        if isinstance(self.data, dict):
            return self.data.get(dataset)
        return None if self.data is None else self.data / dataset


def main_root(start: Path | None = None) -> Path:
    """The repository's root seen from `start` (the current folder): the nearest folder with dvc.yaml or .git.

    From a temporary workspace of `dvc exp run` (`<root>/.dvc/tmp/exps/…`) it is `<root>`, so that jobs,
    cluster.yaml and data are those of the repository itself.
    """
    start = Path(start or Path.cwd()).absolute()
    for folder in (start, *start.parents):
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2]
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").exists() or (folder / ".git").exists():
            return folder
    return start


def settings(root: Path | None = None) -> Cluster:
    """Read `<root>/cluster.yaml`, if there is one, and the SGR_… variables, which win.

    Raises UserError naming the file or variable and the key for an unknown key or a bad value.
    """
    root = root or main_root()
    file = root / "cluster.yaml"
    values = _read(file) if file.exists() else {}
    overrides = {key: os.environ[name] for key, name in ENVIRONMENT.items() if os.environ.get(name)}
    try:
        cluster = Cluster.model_validate({**values, **overrides})
    except ValidationError as error:
        raise UserError(_sentence(error, overrides)) from None

    def absolute(path: Path) -> Path:
        return root / path.expanduser()

    data = cluster.data
    if isinstance(data, dict):
        data = {dataset: absolute(folder) for dataset, folder in data.items()}
    elif data is not None:
        data = absolute(data)
    weights = absolute(cluster.weights) if cluster.weights else None
    return cluster.model_copy(update={"data": data, "weights": weights, "jobs": absolute(cluster.jobs)})


def _read(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"cluster.yaml cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(values or {}, dict):
        raise UserError("cluster.yaml must be a mapping of settings (see cluster.example.yaml)")
    return values or {}


def _sentence(error: ValidationError, overrides: dict[str, str]) -> str:
    first = error.errors()[0]
    top, key = str(first["loc"][0]), ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = Slurm.model_fields if top == "slurm" else Cluster.model_fields
        return f"cluster.yaml: unknown key `{key}`, the known ones are {', '.join(known)}"
    if top in overrides:
        return f"{ENVIRONMENT[top]}={overrides[top]}: {first['msg']}"
    return f"cluster.yaml: `{key}` is {first['input']!r}: {first['msg']}"
