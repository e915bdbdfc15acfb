"""One line on the jobs that a stage waits for: where each is, how far, and how long it still takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs.log import last_line
from sgr.jobs.readable import duration


class Queued(NamedTuple):
    """Who holds a job: SLURM's or the process's id, state (PENDING with the reason, RUNNING, …) and node."""

    id: str
    state: str
    node: str = ""


def describe(jobs: Mapping[Path, Queued]) -> str:
    """`5547 RUNNING on n12: iteration 300/60000, loss 1.235, 5 h 20 min left`; of several, counts and the slowest.

    jobs: folder -> who holds it.
    """
    if len(jobs) < 2:
        return "".join(_one(folder, job) for folder, job in jobs.items())
    states = Counter(job.state.split()[0].lower() for job in jobs.values())
    counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    running = {folder: job for folder, job in jobs.items() if job.state == "RUNNING"} or jobs
    left = {folder: _told(folder).get("seconds_left", -1.0) for folder in running}
    slowest = max(left, key=left.__getitem__)
    # the counts tell the state: a terminal of 80 columns has to show the time left too
    return f"{counts}; slowest {_one(slowest, jobs[slowest]._replace(state=''))}"


def _one(folder: Path, job: Queued) -> str:
    held = " ".join(filter(None, [job.id, job.state, job.node and f"on {job.node}"]))
    if told := _told(folder):
        done = f"iteration {told['iteration']}/{told['iterations']}, loss {told['loss']:.3f}"
        return f"{held}: {done}, {duration(told['seconds_left'])} left"
    line = last_line(folder / "log.txt")
    return f"{held}: {line}" if line else held


def _told(folder: Path) -> dict[str, Any]:
    # what a job function may write while it runs; other jobs have only their log
    try:
        told: dict[str, Any] = read_json(folder / "progress.json")
    except UserError:
        return {}
    return told
