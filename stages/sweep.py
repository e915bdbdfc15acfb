"""Stage: sensitivity to K and L, a network for each pair. `python -m stages.sweep <profile> <dataset>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import about, about_training, finish, run, take


def main(profile: str, dataset: str) -> None:
    """Write results/<profile>/sweep.csv, sweep.md and figures/sweep.png and .pdf."""
    from sgr.files import read_json, write_json
    from sgr.plan.entry import read
    from sgr.plan.jobs import all_of, sweep
    from sgr.report.about import parse
    from sgr.report.settings import SweepSettings
    from sgr.report.sweep import write_sweep

    entry = read(SweepSettings, profile, "sweep", dataset)
    settings = entry.settings
    pairs = sweep(profile, dataset)
    finish(all_of(pairs))

    folder = Path("work", profile, "sweep")
    measured, provenance = {}, {}
    for (K, L), (trained, evaluated) in pairs.items():
        folders = {seed: folder / f"K{K}-L{L}" / str(seed) for seed in evaluated}
        provenance[f"K{K}-L{L}"] = {
            "train": take(trained, folders.__getitem__, names=()),
            "evaluate": take(evaluated, folders.__getitem__),
        }
        found = [read_json(folders[seed] / "metrics.json") for seed in evaluated]
        measured[K, L] = [metrics[settings.split] for metrics in found]
    of = about(profile, entry, [settings.split], about_training(profile, entry))
    made_of = parse({**of, "dataset": dataset}, folder)
    write_sweep(
        profile, entry.row, settings.network, settings.split, settings.K, settings.L, measured, made_of
    )
    write_json(Path("results", "provenance", profile, "sweep.json"), provenance)


if __name__ == "__main__":
    run(main, "profile", "dataset")
