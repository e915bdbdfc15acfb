"""What DVC knows of the stages: which of them targets need, in what order, and which are stale."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sgr.errors import UserError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage as DVCStage


class Stage(NamedTuple):
    """A stage of dvc.yaml by its command, `python -m stages.<script> <arguments>`."""

    script: str
    arguments: tuple[str, ...]


def stale(targets: Sequence[str], scripts: Collection[str]) -> list[Stage]:
    """The stale stages of these scripts that the targets need, in DVC's order; a stage behind a stale one is stale too.

    What they read and is no stage of these scripts itself is brought up to date first, as `dvc repro` does it.

    Args:
        targets: as of `dvc repro`; none for all stages.

    Raises:
        UserError: for a target that DVC does not know, or a stage that fails.
    """
    import networkx as nx

    logging.getLogger("dvc").setLevel(logging.INFO)  # as on the command line: each stage that runs is named
    with _repository() as repo:
        graph, needed = repo.index.graph, _behind(repo, targets)
        wanted = {stage: found for stage in needed if (found := _parsed(stage)).script in scripts}
        before = {read for stage in wanted for read in nx.descendants(graph, stage) if read not in wanted}
        with repo.lock:
            outdated = any(stage.status() for stage in before)
        if outdated:
            repo.reproduce([stage.addressing for stage in needed if stage in before])
        with repo.lock:
            changed = {stage for stage in wanted if stage.status()}
        return [found for stage, found in wanted.items() if {stage, *nx.descendants(graph, stage)} & changed]


def names(targets: Sequence[str]) -> set[str]:
    """The names of the stages that the targets need, themselves among them, as `train@camvid-fcn`.

    Args:
        targets: as of `dvc repro`; none for all stages.

    Raises:
        UserError: for a target that DVC does not know.
    """
    with _repository() as repo:
        return {stage.addressing for stage in _behind(repo, targets)}


@contextmanager
def _repository() -> Iterator[Repo]:
    """This project as DVC sees it; what DVC refuses is a UserError."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(_wait_for_lock=True) as repo:
            yield repo
    except DvcException as error:
        raise UserError(" ".join(str(error).split())) from None


def _behind(repo: Repo, targets: Sequence[str]) -> list[DVCStage]:
    """The stages that the targets need, themselves among them, in DVC's order."""
    from dvc.repo.reproduce import plan_repro

    stages = [stage for target in targets for stage in repo.stage.collect(target)]
    found: list[DVCStage] = plan_repro(repo.index.graph, stages or None)
    return found


def _parsed(stage: DVCStage) -> Stage:
    match shlex.split(stage.cmd) if isinstance(stage.cmd, str) else []:
        case ["python", "-m", module, *arguments]:
            return Stage(module.removeprefix("stages."), tuple(arguments))
    return Stage("", ())
