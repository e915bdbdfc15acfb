"""Stage: sensitivity to K and L, a network for each pair. `python -m stages.sweep <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path

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


def main(profile: str, dataset: str) -> None:
    """Write results/<profile>/sweep.csv, sweep.md and figures/sweep.png.

    A pair's jobs are those of its row with this K and L: an experiment with `-S sgr.K=… -S sgr.L=…` shares them.
    """
    from sgr.files import read_json, write_json
    from sgr.report.sweep import write_sweep

    plan = plan_entry(profile, "sweep", dataset)
    pairs = {(pair["K"], pair["L"]): pair for pair in plan["pairs"]}
    inputs = training_inputs(profile, plan["pairs"][0]["train"])
    trained = {key: training_jobs(pair["train"], *inputs) for key, pair in pairs.items()}
    finish(job for jobs in trained.values() for job in jobs.values())

    inputs = row_inputs(profile, plan["pairs"][0]["evaluate"])
    evaluated = {
        key: trained_jobs("evaluate", pair["evaluate"], stored_models(trained[key]), *inputs)
        for key, pair in pairs.items()
    }
    finish(job for jobs in evaluated.values() for job in jobs.values())

    folder = Path("work", profile, "sweep")
    measured, provenance = {}, {}
    for (K, L), jobs in evaluated.items():
        folders = {seed: folder / f"K{K}-L{L}" / str(seed) for seed in jobs}
        provenance[f"K{K}-L{L}"] = {
            "train": take(trained[K, L], [], folders.__getitem__),
            "evaluate": take(jobs, ["metrics.json"], folders.__getitem__),
        }
        measured[K, L] = [read_json(folders[seed] / "metrics.json")[plan["split"]] for seed in jobs]
    write_sweep(profile, plan["row"], plan["split"], plan["K"], plan["L"], measured)
    write_json(Path("results", "provenance", profile, "sweep.json"), provenance)


if __name__ == "__main__":
    run(main, "profile", "dataset")
