"""Is a folder the whole dataset? What is missing, in words a person can act on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from sgr.data import reader
from sgr.data.files import read_image, read_wide_ids
from sgr.data.parallel import in_parallel
from sgr.datasets import describe
from sgr.download.layout import KINDS, Part, stems
from sgr.download.present import FINISHED, UNFINISHED, needed
from sgr.errors import UserError

SAMPLE = 4  # files of each part that are decoded, unless all are
SHOWN = 3  # of the files and folders that a sentence is about

Counted = tuple[int, str]  # files, and the folder or the file of which they are


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
    problems = []
    sizes: dict[tuple[str, str], tuple[Path, tuple[int, ...]]] = {}
    if deep and not about.label_maps:
        try:
            sizes = _annotated_sizes(dataset, root)
        except UserError as error:
            # a missing image is counted already
            problems += [] if report.problems else [_sentence(dataset, error)]
    lacking = {archive.name for archive in needed(about.archives, root)}
    files = [
        (part.split, part.kind, name, _files(root, part, name)[0])
        for part in about.layout(root)
        if part.archive not in lacking
        for name in _chosen(sorted(stems(root / part.folder, part.suffixes)), deep)
    ]
    decoded = in_parallel(_decoded, ((dataset, kind, path) for _, kind, _, path in files))
    bar = tqdm(decoded, desc=f"decode {dataset}", total=len(files), disable=None)
    for (split, _, name, path), found in zip(files, bar, strict=True):
        if isinstance(found, str):
            problems.append(_sentence(dataset, found))
            continue
        partner, expected = sizes.setdefault((split, name), (path, found))
        if found != expected:
            told = f"{path} has {found[1]}x{found[0]} pixels, but {partner} has {expected[1]}x{expected[0]}"
            problems.append(_sentence(dataset, told))
    return report._replace(problems=report.problems + problems)


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
        report.problems.append(_sentence(dataset, f"there is no folder {root}: {remedy}, or set SGR_DATA"))
        return report
    if any((root / name).exists() for name in (UNFINISHED, FINISHED)):
        told = f"a download into {root} was interrupted: {remedy} to go on"
        report.problems.append(_sentence(dataset, told))
    lacking = {archive.name: archive for archive in needed(about.archives, root)}
    for archive in lacking.values():
        told = f"{root} holds no {' or '.join(archive.provides)}: {remedy}, or extract {archive.name} there"
        report.problems.append(_sentence(dataset, told))
    for name, source in about.single_files.items():
        if source not in lacking and not (root / name).is_file():
            report.problems.append(_sentence(dataset, f"{name} is missing: extract {source} again"))
    # what is missing and what is too much, by split, kind, archive, and whether anything here reads it
    differences: dict[tuple[str, str, str, bool], tuple[list[Counted], list[Counted]]] = {}
    listed: dict[tuple[str, str, tuple[str, ...]], list[set[str]]] = defaultdict(list)
    for part in about.layout(root):
        names = part.names(root)
        found = stems(root / part.folder, part.suffixes)
        if part.shared:
            found &= names
            listed[part.folder, part.kind, part.suffixes].append(names)
        here, official = report.counts.get((part.split, part.kind), (0, 0))
        report.counts[part.split, part.kind] = (here + len(found), official + part.files)
        # of a list that is not there it is said above
        if part.archive not in lacking and (names or not part.shared):
            group = part.split, part.kind, part.archive, part.needed
            missing, extra = differences.setdefault(group, ([], []))
            missing += _missing(root, part, found, names)
            extra += _extra(root, part, found, names)
    for (split, kind, source, needed_here), (missing, extra) in differences.items():
        found_wrong = report.problems if needed_here else report.notes
        if number := _number(missing):
            told = f"{number} of {report.counts[split, kind][1]} {KINDS[kind][1]} of {split}"
            verb = "is" if number == 1 else "are"
            told = f"{told} {verb} missing or empty ({_shown(missing)}): extract {source} again"
            found_wrong.append(_sentence(dataset, told))
        if number := _number(extra):
            told = f"{number} {KINDS[kind][number > 1]} too many in {split} ({_shown(extra)})"
            found_wrong.append(_sentence(dataset, f"{told}: remove what does not belong there"))
    for (folder, kind, suffixes), lists in listed.items():
        unlisted = _each(folder, stems(root / folder, suffixes).difference(*lists), suffixes)
        if unlisted and all(lists):
            told = f"{len(unlisted)} {KINDS[kind][len(unlisted) > 1]} in no list ({_shown(unlisted)})"
            report.notes.append(_sentence(dataset, told))
    return report


def _missing(root: Path, part: Part, found: set[str], names: set[str]) -> list[Counted]:
    """What a part lacks: files by name where their names are known, else the folder that has too few."""
    if not part.files:
        return []
    if not (root / part.folder).is_dir():
        return [(part.files, f"{part.folder}/")]
    missing = _each(part.folder, names - found, part.suffixes)
    unknown = part.files - len(found) - len(missing)
    return missing + ([(unknown, f"some of {part.folder}/")] if unknown > 0 else [])


def _extra(root: Path, part: Part, found: set[str], names: set[str]) -> list[Counted]:
    """What a part has too much: files by name where the names of all that belong there are known, else the folder."""
    twice = {name for name in found if len(part.suffixes) > 1 and len(_files(root, part, name)) > 1}
    if part.files and len(names) == part.files:
        return _each(part.folder, found - names | twice, part.suffixes)
    many = len(found) + len(twice) - part.files
    return [(many, f"{'some of ' if part.files else ''}{part.folder}/")] if many > 0 else []


def _each(folder: str, names: Iterable[str], suffixes: tuple[str, ...]) -> list[Counted]:
    return [(1, f"{folder}/{name}{suffixes[0]}") for name in sorted(names)]


def _number(counted: list[Counted]) -> int:
    return sum(files for files, _ in counted)


def _shown(counted: list[Counted]) -> str:
    """The first of the files and folders, and how many follow."""
    rest = len(counted) - SHOWN
    return ", ".join(place for _, place in counted[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _sentence(dataset: str, told: object) -> str:
    """As it is printed: a file's name need not be text."""
    return f"{dataset}: {told}".encode(errors="backslashreplace").decode()


def _chosen(names: list[str], deep: bool) -> list[str]:
    if deep or len(names) <= SAMPLE:
        return names
    return [names[round(index * (len(names) - 1) / (SAMPLE - 1))] for index in range(SAMPLE)]


def _files(root: Path, part: Part, name: str) -> list[Path]:
    """The file of a name; two where it stands there with two suffixes."""
    paths = (root / part.folder / (name + suffix) for suffix in part.suffixes)
    return [path for path in paths if path.is_file()]


def _annotated_sizes(dataset: str, root: Path) -> dict[tuple[str, str], tuple[Path, tuple[int, ...]]]:
    """By split and name, the file of annotations that says what size (height, width) an image has."""
    module = reader(dataset)
    return {
        (split, image.path.stem): (module.annotation_file(root, split), (image.height, image.width))
        for split in module.SPLITS
        for image in module.index(root, split).images
    }


def _decoded(dataset: str, kind: str, path: Path) -> tuple[int, ...] | str:
    """The size (height, width) of a file's pixels, or a sentence if it does not decode."""
    try:
        if kind == "image":
            return read_image(path).shape[:2]
        if kind == "label":
            size: tuple[int, ...] = reader(dataset).read_label(path).shape
            return size
        return read_wide_ids(path).shape
    except UserError as error:
        return str(error)
