"""Is a folder the whole dataset? What is missing, in words a person can act on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from sgr.data import reader
from sgr.data.files import decode, read_image
from sgr.data.parallel import in_parallel
from sgr.datasets import describe
from sgr.download.layout import Part, stems
from sgr.download.present import FINISHED, UNFINISHED, needed
from sgr.errors import UserError

SAMPLE = 4  # files of each part that are decoded, unless all are


class Report(NamedTuple):
    """What a check found.

    counts: images and label maps of each split, found and official. problems: sentences on what this project would
    miss. notes: sentences on what only others would.
    """

    counts: dict[tuple[str, str], tuple[int, int]]
    problems: list[str]
    notes: list[str]


def check(dataset: str, root: Path, deep: bool = False) -> Report:
    """Compare a folder with a dataset's layout, and decode some of its files, or all if `deep`."""
    about, report = describe(dataset), count(dataset, root)
    if not root.is_dir():
        return report
    lacking = {archive.name for archive in needed(about.archives, root)}
    jobs = [
        (dataset, part.kind, str(root / part.folder), name, part.suffixes)
        for part in about.layout(root)
        if part.archive not in lacking
        for name in _chosen(sorted(stems(root / part.folder, part.suffixes)), deep)
    ]
    bar = tqdm(in_parallel(_undecodable, jobs), desc=f"decode {dataset}", total=len(jobs), disable=None)
    return report._replace(problems=report.problems + [found for found in bar if found])


def demand_whole(dataset: str, root: Path, otherwise: str) -> None:
    """Raise UserError, which ends with `otherwise`, for a folder that is not the whole dataset."""
    if problems := count(dataset, root).problems:
        more = f" (and {len(problems) - 1} more, which make data-check names)" if problems[1:] else ""
        raise UserError(f"{problems[0]}{more}, {otherwise}")


def count(dataset: str, root: Path) -> Report:
    """The same without decoding anything."""
    about, report = describe(dataset), Report({}, [], [])
    remedy = f"run `python -m sgr repro download@{dataset}` with data: folder"
    if not root.is_dir():
        report.problems.append(f"{dataset}: there is no folder {root}: {remedy}, or set SGR_DATA")
        return report
    if any((root / name).exists() for name in (UNFINISHED, FINISHED)):
        report.problems.append(f"{dataset}: a download into {root} was interrupted: {remedy} to go on")
    lacking = {archive.name: archive for archive in needed(about.archives, root)}
    for archive in lacking.values():
        report.problems.append(
            f"{dataset}: {root} holds no {' or '.join(archive.provides)}: {remedy}, or extract {archive.name} there"
        )
    for name, source in about.single_files.items():
        if source not in lacking and not (root / name).is_file():
            report.problems.append(f"{dataset}: {name} is missing: extract {source} again")
    for part in about.layout(root):
        names = part.names(root)
        found = stems(root / part.folder, part.suffixes)
        if part.shared:
            found &= names
        key = (part.split, part.kind)
        here, official = report.counts.get(key, (0, 0))
        report.counts[key] = (here + len(found), official + part.files)
        sentence = _difference(root, part, found, names)
        if sentence and part.archive not in lacking:
            (report.problems if part.needed else report.notes).append(f"{dataset}: {sentence}")
    return report


def _difference(root: Path, part: Part, found: set[str], names: set[str]) -> str | None:
    """What is wrong with the names of a part, if anything."""
    what = f"{len(found)} of {part.files} *{part.suffixes[0]} files" + (
        f" of {part.split}" if part.shared else ""
    )
    again = f"extract {part.archive} again"
    if not (root / part.folder).is_dir():
        return f"{part.folder} is missing: {again}"
    missing = sorted(names - found)
    if missing:
        others = f" and {len(missing) - 1} other{'s' * (len(missing) > 2)}" if len(missing) > 1 else ""
        verb = "are" if others else "is"
        return f"{part.folder} holds {what}, {missing[0]}{part.suffixes[0]}{others} {verb} missing or empty: {again}"
    if len(found) < part.files:
        return f"{part.folder} holds {what}: {again}"
    if len(found) > part.files:
        return (
            f"{part.folder} holds {what}: remove what does not belong there, or {again} into an empty folder"
        )
    return None


def _chosen(names: list[str], deep: bool) -> list[str]:
    if deep or len(names) <= SAMPLE:
        return names
    return [names[round(index)] for index in np.linspace(0, len(names) - 1, SAMPLE)]


def _undecodable(dataset: str, kind: str, folder: str, name: str, suffixes: tuple[str, ...]) -> str | None:
    """Why a file does not decode, in a sentence; None if it does."""
    path = next(path for suffix in suffixes if (path := Path(folder, name + suffix)).is_file())
    try:
        if kind == "image":
            read_image(path)
        elif kind == "label":
            reader(dataset).read_label(path)
        else:
            decode(path, np.array)
    except UserError as error:
        return f"{dataset}: {error}"
    return None
