"""Which jobs become one SLURM array, and what an array waits for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sgr.jobs.job import Job, Kind


class Array(NamedTuple):
    """Jobs of one kind that are submitted together, in the order of their indices.

    dependency: value of sbatch's --dependency, None if nothing has to finish first.
    """

    jobs: list[Job]
    dependency: str | None


def arrays(jobs: Sequence[Job], ids: Mapping[str, str]) -> Iterator[Array]:
    """Split jobs into arrays: of one kind and number of threads, so that what they ask of SLURM agrees.

    Where the jobs that an array's elements wait for are the first elements of one other array, in the same order,
    each element waits for its own (`aftercorr`); a job that fits no such array is submitted alone.

    Args:
        ids: SLURM job (`<array>_<index>` for an array's element) of every unfinished job of their `after`, by key.
    """
    alike: dict[tuple[Kind, int | None], list[Job]] = {}
    for job in jobs:
        alike.setdefault((job.kind, job.threads), []).append(job)
    for group in alike.values():
        free = [job for job in group if not _awaited(job, ids)]
        if free:
            yield Array(free, None)
        matching: dict[str, dict[int, Job]] = {}
        for job in group:
            awaited = _awaited(job, ids)
            array, _, index = awaited[0].partition("_") if len(awaited) == 1 else ("", "", "")
            if index and int(index) not in matching.setdefault(array, {}):
                matching[array][int(index)] = job
            elif awaited:
                yield Array([job], _after_all(awaited))
        for array, by_index in matching.items():
            ordered = [by_index[index] for index in sorted(by_index)]
            if len(ordered) > 1 and sorted(by_index) == list(range(len(ordered))):
                yield Array(ordered, f"aftercorr:{array}")
            else:
                yield from (Array([job], _after_all(_awaited(job, ids))) for job in ordered)


def most_awaited_first(jobs: Sequence[Job], among: Iterable[Job]) -> list[Job]:
    """`jobs`, those first that most of `among` wait for: what waits for some of them then waits for the first ones."""
    awaited = Counter(first.key for job in among for first in job.after)
    return sorted(jobs, key=lambda job: -awaited[job.key])


def _awaited(job: Job, ids: Mapping[str, str]) -> list[str]:
    return [ids[first.key] for first in job.after if first.key in ids]


def _after_all(ids: Sequence[str]) -> str:
    return ":".join(["afterok", *ids])
