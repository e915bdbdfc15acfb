"""From plan entries to jobs: what decides a result becomes the content key, where it lies does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from sgr import kinds
from sgr.detection.settings import TransferFiles, TransferSettings
from sgr.evaluation.settings import EvaluateSettings, EvaluationFiles
from sgr.files import read_json, sha256_file
from sgr.jobs.job import Job, Kind
from sgr.machine import settings
from sgr.plan import inputs
from sgr.plan.entry import Entry, read
from sgr.training.settings import Run, TrainFiles, TrainSettings

BySeed = dict[int, Job]
# Jobs that may not have run yet, by kind and row: those that start from them point there.
Made = Mapping[tuple[str, str], BySeed]


class Trained(NamedTuple):
    """A trained network: identity of its training, file of its weights, and that job if it may not have finished."""

    identity: str
    weights: Path
    job: Job | None = None


def jobs_of(kind: str, profile: str, key: str, made: Made | None = None) -> BySeed:
    """The jobs of a stage, by seed.

    Args:
        kind: of `sgr.kinds`; key: the row.
        made: trainings that may not have run yet; those of other rows are taken from where their stage left them.

    Raises:
        UserError: for an unknown row, or an input that is missing.
    """
    return of_entry(kind, profile, read_job(kind, profile, key), made or {})


def read_job(kind: str, profile: str, key: str) -> Entry[Any]:
    """The entry of a stage that runs jobs."""
    module, _, name = kinds.KINDS[kind].settings.partition(":")
    return read(getattr(import_module(module), name), profile, kind, key)


def of_entry(kind: str, profile: str, entry: Entry[Any], made: Made) -> BySeed:
    """The same, of an entry that need not be written."""
    if kind == "train":
        return train(profile, entry)
    if kind == "transfer":
        return transfer(profile, entry, made)
    if kind == "overhead":
        return {0: Job(kinds.OVERHEAD, entry.settings, 0, code=entry.code, threads=entry.settings.threads)}
    first = kinds.TRAINED_BY[kind].name
    jobs = made.get((first, entry.row))
    models = stored(jobs) if jobs else left_by(profile, first, entry)
    return after_training(kinds.KINDS[kind], profile, entry, models)


def train(profile: str, entry: Entry[TrainSettings]) -> BySeed:
    """The training jobs of a row."""
    loss = entry.settings.concept_loss
    components = inputs.components(profile, entry.dataset) if loss else None
    weights = inputs.weights(profile, entry.weights) if entry.weights else None
    manifest = inputs.manifest(profile, entry.dataset)
    data = inputs.data_folder(profile, entry.dataset, entry.generated)
    hashes = _hashes(manifest=manifest, components=components, weights=weights)
    return {
        seed: Job(
            kinds.TRAIN,
            entry.settings,
            seed,
            hashes,
            entry.code,
            TrainFiles(data, manifest, components, weights, _run(entry.row, seed)),
            row=entry.row,
            threads=entry.settings.threads,
        )
        for seed in entry.seeds
    }


def transfer(profile: str, entry: Entry[TransferSettings], made: Made) -> BySeed:
    """The jobs of a row of Table 3; all start from the first seed of the row that they start from."""
    weights = inputs.weights(profile, entry.weights) if entry.weights else None
    manifest = inputs.manifest(profile, entry.dataset)
    data = inputs.data_folder(profile, entry.dataset, entry.generated)
    hashes, model = _hashes(manifest=manifest, weights=weights), None
    if entry.start is not None and entry.start_seed is not None:
        jobs = made.get(("train", entry.start))
        if jobs:
            model = stored(jobs)[entry.start_seed]
        else:
            model = trained(Path("work", profile, "train", entry.start, str(entry.start_seed)))
        hashes["trained"] = model.identity
    return {
        seed: Job(
            kinds.TRANSFER,
            entry.settings,
            seed,
            hashes,
            entry.code,
            TransferFiles(data, manifest, weights, model.weights if model else None, _run(entry.row, seed)),
            after=(model.job,) if model and model.job else (),
            row=entry.row,
            threads=entry.settings.threads,
        )
        for seed in entry.seeds
    }


def after_training(kind: Kind, profile: str, entry: Entry[Any], models: Mapping[int, Trained]) -> BySeed:
    """The jobs that look at trained networks, by seed; their key follows from the training's identity."""
    manifest = inputs.manifest(profile, entry.dataset)
    data = inputs.data_folder(profile, entry.dataset, entry.generated)
    workers = inputs.loader_workers(settings())
    threads = entry.settings.threads if kind is kinds.DETECT else entry.settings.seen.threads
    return {
        seed: Job(
            kind,
            entry.settings,
            seed,
            {**_hashes(manifest=manifest), "trained": models[seed].identity},
            entry.code,
            EvaluationFiles(data, manifest, models[seed].weights, workers, _title(entry.row, seed)),
            after=tuple(filter(None, [models[seed].job])),
            row=entry.row,
            threads=threads,
        )
        for seed in entry.seeds
    }


def sweep(profile: str, dataset: str) -> dict[tuple[int, int], tuple[BySeed, BySeed]]:
    """The training and the evaluation jobs of each pair of K and L, by seed.

    They are those of the row with this K and L: an experiment with `-S sgr.K=… -S sgr.L=…` shares them.
    """
    from sgr.report.settings import SweepSettings

    found = {}
    for pair, (to_train, to_evaluate) in pairs(read(SweepSettings, profile, "sweep", dataset)).items():
        trainings = train(profile, to_train)
        found[pair] = trainings, after_training(kinds.EVALUATE, profile, to_evaluate, stored(trainings))
    return found


def pairs(entry: Entry[Any]) -> dict[tuple[int, int], tuple[Entry[TrainSettings], Entry[EvaluateSettings]]]:
    """What trains and evaluates each pair of K and L of a sweep's entry, as entries of their own."""
    own = entry.settings
    return {
        (pair.K, pair.L): (
            replace(entry, settings=pair.train, code=own.train_code),
            replace(entry, settings=pair.evaluate, code=own.evaluate_code),
        )
        for pair in own.pairs
    }


def trained(folder: Path) -> Trained:
    """The trained network that a stage left in the folder of a row and seed."""
    return Trained(read_json(folder / "job.json")["identity"], (folder / "model.safetensors").absolute())


def left_by(profile: str, stage: str, entry: Entry[Any]) -> dict[int, Trained]:
    """The trained networks of a row, by seed, as the stage `train` or `transfer` left them."""
    return {seed: trained(Path("work", profile, stage, entry.row, str(seed))) for seed in entry.seeds}


def stored(jobs: Mapping[int, Job]) -> dict[int, Trained]:
    """The networks that training jobs leave, or will leave, in the job store."""
    store = settings().store
    return {
        seed: Trained(store.identity(job), store.folder(job) / "model.safetensors", job)
        for seed, job in jobs.items()
    }


def all_of(pairs: Mapping[Any, tuple[BySeed, BySeed]]) -> Iterable[Job]:
    """The jobs of a sweep, each training before its evaluation."""
    return (
        job
        for trainings, evaluations in pairs.values()
        for job in (*trainings.values(), *evaluations.values())
    )


def _run(row: str, seed: int) -> Run:
    machine = settings()
    return Run(_title(row, seed), inputs.loader_workers(machine), machine.checkpoint_seconds)


def _title(row: str, seed: int) -> str:
    return f"{row} seed {seed}"


def _hashes(**files: Path | None) -> dict[str, str]:
    return {name: sha256_file(path) for name, path in files.items() if path}
