"""What DVC knows of the stages: which of them targets name and need, in what order, and which are stale.

A stage is told by its command, `python -m stages.<kind> <profile> <key>`, wherever its dvc.yaml lies.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sgr.cli.dvc import adapt
from sgr.cli.dvc_lock import mend
from sgr.errors import UserError
from sgr.kinds import KINDS

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage as DVCStage

# The stages that run jobs: one a kind of job, and the sweep, which trains and evaluates.
WITH_JOBS = {*KINDS, "sweep"}

PAGES = {".md", ".html"}


class Stage(NamedTuple):
    """A stage by its command; `key` is its row, dataset, backbone or table, empty for one that has none."""

    kind: str
    profile: str
    key: str


class Asked(NamedTuple):
    """The stages that targets name, as addresses for DVC; how many stages these need, themselves among them; and what
    of their outs people read."""

    addresses: list[str]
    needed: int
    pages: list[str]


def stale(targets: Sequence[str]) -> list[Stage]:
    """The stale stages with jobs that the targets need, in DVC's order; a stage behind a stale one is stale too.

    What they read and is no stage with jobs itself is brought up to date first, as `dvc repro` does it.

    Raises:
        UserError: for an unknown target, or a stage that fails.
    """
    import networkx as nx

    logging.getLogger("dvc").setLevel(logging.INFO)  # as on the command line: each stage that runs is named
    with _repository() as repo:
        graph, needed = repo.index.graph, _behind(repo, _named(repo, targets))
        wanted = {stage: found for stage in needed if (found := _parsed(stage)).kind in WITH_JOBS}
        before = {read for stage in wanted for read in nx.descendants(graph, stage) if read not in wanted}
        with repo.lock:
            outdated = any(stage.status() for stage in before)
        if outdated:
            repo.reproduce([stage.addressing for stage in needed if stage in before])
        with repo.lock:
            changed = {stage for stage in wanted if stage.status()}
        return [found for stage, found in wanted.items() if {stage, *nx.descendants(graph, stage)} & changed]


def needed(targets: Sequence[str]) -> list[Stage]:
    """The stages with jobs that the targets need, in DVC's order, stale or not. Raises UserError as `stale`."""
    with _repository() as repo:
        behind = map(_parsed, _behind(repo, _named(repo, targets)))
        return [stage for stage in behind if stage.kind in WITH_JOBS]


def asked(targets: Sequence[str]) -> Asked:
    """What `dvc repro` is to run for the targets. Raises UserError as `stale`."""
    with _repository() as repo:
        named = _named(repo, targets)
        outs = [Path(out.fs_path).relative_to(repo.root_dir) for stage in named for out in stage.outs]
        pages = [out.as_posix() for out in outs if out.suffix in PAGES]
        return Asked([stage.addressing for stage in named], len(_behind(repo, named)), pages)


@contextmanager
def _repository() -> Iterator[Repo]:
    """This project as DVC sees it, its locks whole; what DVC refuses is a UserError."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    adapt()
    try:
        with Repo(_wait_for_lock=True) as repo:
            with repo.lock:
                mend(Path(repo.root_dir))
            yield repo
    except DvcException as error:
        raise UserError(" ".join(str(error).split())) from None


def _named(repo: Repo, targets: Sequence[str]) -> list[DVCStage]:
    """The stages that the targets name; without a target those of the dvc.yaml at the top.

    A target is the short name of a stage (`table1`, `train@camvid-fcn`), of all stages of a kind (`semantics`) or of a
    key (a row, `camvid-fcn`), or whatever else DVC knows: an address, a dvc.yaml, a file that a stage makes.
    """
    by_name: dict[str, list[DVCStage]] = {}
    for stage in repo.index.stages:
        for name in _names(stage):
            by_name.setdefault(name, []).append(stage)
    found: list[DVCStage] = []
    for target in targets or ["dvc.yaml"]:
        if target in by_name:
            found += by_name[target]
        elif "/" in target or target == "dvc.yaml":
            found += repo.stage.collect(target)
        else:
            short = [
                name for name, (stage, *_) in by_name.items() if name not in (stage.addressing, stage.name)
            ]
            near = ", ".join(get_close_matches(target, short, n=3))
            meant = (
                f"did you mean {near}?" if near else "name one such as table1 or a row of params/rows.yaml"
            )
            raise UserError(f"there is no stage, row or dataset {target!r}: {meant}")
    return list(dict.fromkeys(found))


def _names(stage: DVCStage) -> set[str]:
    """What a person may call a stage."""
    kind, _, key = _parsed(stage)
    name = stage.addressing.rpartition(":")[2]
    # what follows the @ is the profile, and the values of a matrix
    names = {stage.addressing, name, name.partition("@")[0], kind, f"{kind}@{key}"}
    if stage.path_in_repo != "dvc.yaml":
        # a row, dataset or backbone has a dvc.yaml of its own; that a sweep is of camvid does not make it camvid's
        names.add(key)
    return names - {"", "@"}


def _behind(repo: Repo, stages: list[DVCStage]) -> list[DVCStage]:
    """The stages that these need, themselves among them, in DVC's order."""
    from dvc.repo.reproduce import plan_repro

    found: list[DVCStage] = plan_repro(repo.index.graph, stages)
    return found


def _parsed(stage: DVCStage) -> Stage:
    match shlex.split(stage.cmd) if isinstance(stage.cmd, str) else []:
        case ["python", "-m", module, *arguments]:
            profile, key = (*arguments, "", "")[:2]
            return Stage(module.removeprefix("stages."), profile, key)
    return Stage("", "", "")
