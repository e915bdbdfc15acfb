"""When, on which commit and on what the results of a profile were made, as their provenance says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sgr.files import read_json


def of_profile(provenance: Path) -> str:
    """`12 jobs, 3.2 hours of work on 2026-11-22 11:51 to 14:24 UTC on 1 commit (56c8b40); CPU AMD EPYC; torch 2.14.1.`

    Args:
        provenance: results/provenance/<profile>; empty text where it holds no record.

    Raises:
        UserError: a file that is no JSON.
    """
    jobs = [job for path in sorted(provenance.glob("*.json")) for job in _records(read_json(path))]
    if not jobs:
        return ""
    hours = sum(job.get("wall_seconds") or 0 for job in jobs) / 3600
    work = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
    times = (min(job["started"] for job in jobs), max(job["finished"] for job in jobs))
    commits = dict.fromkeys(_commit(job) for job in sorted(jobs, key=lambda job: str(job["finished"])))
    devices = sorted({_device(job) for job in jobs})
    torch = sorted({version for job in jobs if (version := job.get("versions", {}).get("torch"))})
    return (
        f"{_count(len(jobs), 'job')}, {work} of work {_span(*times)} on {_count(len(commits), 'commit')} "
        f"({', '.join(commits)}); {', '.join(devices)}; torch {', '.join(torch)}."
    )


def _records(content: Any) -> Iterator[dict[str, Any]]:
    """The records of jobs, by seed or by pair and seed, in what a provenance file holds."""
    if isinstance(content, dict):
        if {"started", "finished"} <= content.keys():
            yield content
        else:
            for value in content.values():
                yield from _records(value)


def _span(start: str, end: str) -> str:
    """`on 2026-11-22 11:51 to 14:24 UTC`, or `from 2026-11-22 11:51 to 2026-11-23 09:00 UTC`."""
    first, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
    if first.date() == last.date():
        return f"on {first:%Y-%m-%d %H:%M} to {last:%H:%M} UTC"
    return f"from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


def _commit(job: Mapping[str, Any]) -> str:
    return (job.get("commit") or "unknown")[:7] + (" with changes" if job.get("dirty") else "")


def _device(job: Mapping[str, Any]) -> str:
    """The GPU's name, or `CPU AMD EPYC`."""
    device = str(job.get("device") or "cpu")
    if not device.lower().startswith("cpu"):
        return device
    return " ".join(filter(None, ("CPU", job.get("cpu") or device[3:].strip(", "))))
