"""Stage: sensitivity to K and L, a network for each pair. `python -m stages.sweep <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stages.common import (
    finish,
    plan_entry,
    row_inputs,
    run,
    stored_models,
    take,
    trained_jobs,
    training_inputs,
    training_jobs,
)

if TYPE_CHECKING:
    from sgr.jobs.store import Job

Pair = tuple[int, int]


def jobs_of(profile: str, dataset: str) -> dict[Pair, tuple[dict[int, Job], dict[int, Job]]]:
    """The training and the evaluation jobs of each pair of K and L, by seed.

    They are those of its row with this K and L: an experiment with `-S sgr.K=… -S sgr.L=…` shares them.
    """
    pairs = plan_entry(profile, "sweep", dataset)["pairs"]
    to_train = training_inputs(profile, pairs[0]["train"])
    to_evaluate = row_inputs(profile, pairs[0]["evaluate"])
    found = {}
    for pair in pairs:
        trained = training_jobs(pair["train"], *to_train)
        evaluated = trained_jobs("evaluate", pair["evaluate"], stored_models(trained), *to_evaluate)
        found[pair["K"], pair["L"]] = trained, evaluated
    return found


def main(profile: str, dataset: str) -> None:
    """Write results/<profile>/sweep.csv, sweep.md and figures/sweep.png."""
    from sgr.files import read_json, write_json
    from sgr.report.sweep import write_sweep

    plan = plan_entry(profile, "sweep", dataset)
    pairs = jobs_of(profile, dataset)
    finish(job for trained, evaluated in pairs.values() for job in (*trained.values(), *evaluated.values()))

    folder = Path("work", profile, "sweep")
    measured, provenance = {}, {}
    for (K, L), (trained, jobs) in pairs.items():
        folders = {seed: folder / f"K{K}-L{L}" / str(seed) for seed in jobs}
        provenance[f"K{K}-L{L}"] = {
            "train": take(trained, [], folders.__getitem__),
            "evaluate": take(jobs, ["metrics.json"], folders.__getitem__),
        }
        measured[K, L] = [read_json(folders[seed] / "metrics.json")[plan["split"]] for seed in jobs]
    write_sweep(profile, plan["row"], plan["split"], plan["K"], plan["L"], measured)
    write_json(Path("results", "provenance", profile, "sweep.json"), provenance)


if __name__ == "__main__":
    run(main, "profile", "dataset")
