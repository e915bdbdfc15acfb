"""Where jobs run: cluster.yaml (see cluster.example.yaml) and the environment; it never changes a result."""

from __future__ import annotations

import math
import os
import re
import shlex
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from sgr import yaml_files
from sgr.errors import UserError
from sgr.jobs.project import Project
from sgr.jobs.store import JobStore

# sbatch's own ways to say a time: M, M:S, H:M:S, D-H, D-H:M and D-H:M:S
TIME = re.compile(
    r"(?P<days>\d+)-(?P<hours>\d+)(:(?P<minutes>\d+))?(:(?P<seconds>\d+))?"
    r"|((?P<h>\d+):(?=\d+:))?(?P<m>\d+)(:(?P<s>\d+))?"
)


def minutes(time: Any) -> Any:
    """A time of sbatch's --time as whole minutes, rounded up; anything but text is returned as it is."""
    if not isinstance(time, str):
        return time
    match = TIME.fullmatch(time.strip())
    if match is None:
        raise ValueError("a time is minutes, HH:MM:SS or D-HH:MM:SS")
    found = {name: int(number or 0) for name, number in match.groupdict().items()}
    hours = 24 * found["days"] + found["hours"] + found["h"]
    return 60 * hours + found["minutes"] + found["m"] + math.ceil((found["seconds"] + found["s"]) / 60)


def _says_something(text: Any) -> Any:
    if text == "":
        raise ValueError("must not be empty; leave the line out")
    return text


def _one_word(text: str) -> str:
    if len(text.split()) != 1:
        raise ValueError("must be one word")
    return text


# a path, and what goes into one line of a job's script
Folder = Annotated[Path, Field(strict=False), BeforeValidator(_says_something)]
Word = Annotated[str, AfterValidator(_one_word)]


class Slurm(BaseModel):
    """What one job asks of SLURM.

    A training job has `processes` ranks over `nodes` nodes, one GPU each if it has GPUs; every other job has one
    process, with one GPU if training has any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    # SLURM may signal a job's end a minute early and submitit asks for 90 s more: shorter jobs get nowhere.
    time: Annotated[int, BeforeValidator(minutes), Field(ge=30)] = 24 * 60
    memory_gb: int = Field(default=16, ge=1)
    cpus: int = Field(default=4, ge=1)
    gpus_per_job: int = Field(default=1, ge=0)
    processes: int = Field(default_factory=lambda given: max(1, given["gpus_per_job"]), ge=1)
    nodes: int = Field(default=1, ge=1)
    modules: list[str] = []
    setup: list[str] = []

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.gpus_per_job and self.processes != self.gpus_per_job:
            raise ValueError(
                f"processes = {self.processes} must be gpus_per_job = {self.gpus_per_job}, one a GPU: leave it out"
            )
        if self.processes % self.nodes:
            shared = "gpus_per_job" if self.gpus_per_job else "processes"
            raise ValueError(f"nodes = {self.nodes} must divide {shared} = {self.processes}")
        return self

    @property
    def setup_lines(self) -> list[str]:
        """Shell lines that run on the node before Python: modules, a missing one of which ends the job, then setup."""
        return [*(f"module load {shlex.quote(module)} || exit 1" for module in self.modules), *self.setup]


class Cluster(BaseModel):
    """Where jobs run; folders are absolute. A project subclasses it, names itself, and may add settings of its own.

    No sentence shows the value of a setting with `repr=False`.

    Attributes:
        executor: `inline` in the calling process, `local` in one of their own, or `slurm`.
        jobs: folder of the job store.
        max_jobs: jobs at once.
        slurm: what a job asks of SLURM.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    project: ClassVar[Project]

    executor: Literal["inline", "local", "slurm"] = "inline"
    jobs: Folder = Path("jobs")
    max_jobs: int | None = Field(default=None, ge=1)
    slurm: Slurm = Slurm()

    @property
    def store(self) -> JobStore:
        """The job store."""
        return JobStore(self.jobs)

    @classmethod
    def variable(cls, key: str) -> str:
        """The environment variable that wins over a key of cluster.yaml."""
        return f"{cls.project.prefix}_{key.upper()}"

    @classmethod
    def read(cls, root: Path | None = None) -> Self:
        """Read `<root>/cluster.yaml`, if there is one, and the environment, which wins; `slurm` has no variable.

        Relative folders start at `root`, `main_root()` if not given. Raises UserError naming the file or variable and
        the key for an unknown key or a bad value.
        """
        root = root or main_root()
        file = root / "cluster.yaml"
        values = yaml_files.read(file, file.name) if file.exists() else {}
        variables = {key: os.environ.get(cls.variable(key)) for key in cls.model_fields if key != "slurm"}
        overrides = {key: value for key, value in variables.items() if value}
        try:
            if values:
                cls.model_validate(values)
            # a variable is text, whatever it says
            cluster = cls.model_validate({**values, **overrides}, strict=False)
        except ValidationError as error:
            raise UserError(_sentence(error, cls, overrides)) from None
        found = cluster.model_copy(update={key: _absolute(value, root) for key, value in cluster})
        found.store.check()
        return found


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


def _absolute(value: Any, root: Path) -> Any:
    if isinstance(value, dict):
        return {key: _absolute(one, root) for key, one in value.items()}
    return root / value.expanduser() if isinstance(value, Path) else value


def _sentence(error: ValidationError, cluster: type[Cluster], overrides: dict[str, str]) -> str:
    first = error.errors()[0]
    # pydantic puts [key] behind a key that is wrong itself
    top, key = str(first["loc"][0]), ".".join(str(part) for part in first["loc"] if part not in ("", "[key]"))
    what = yaml_files.complaint(first)
    if first["type"] == "extra_forbidden":
        known = list(Slurm.model_fields if top == "slurm" else cluster.model_fields)
        near = get_close_matches(str(first["loc"][-1]), known, n=1)
        meant = f"did you mean `{near[0]}`? The" if near else "the"
        return f"cluster.yaml: unknown key `{key}`, {meant} known ones are {', '.join(known)}"
    secret = top in cluster.model_fields and not cluster.model_fields[top].repr
    if top in overrides:
        return f"{cluster.variable(top)}{'' if secret else f'={overrides[top]}'}: {what}"
    if secret or isinstance(first["input"], dict):
        return f"cluster.yaml: `{key}`: {what}"
    return f"cluster.yaml: `{key}` is {first['input']!r}: {what}"
