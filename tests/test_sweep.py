"""The sweep over K and L: its jobs are those of its row with these values, whoever made them first."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sgr.files import read_json, write_json
from sgr.jobs.cluster import Cluster
from sgr.jobs.job import Job
from sgr.jobs.store import JobStore, complete
from sgr.kinds import EVALUATE
from sgr.plan.entries import entries
from sgr.plan.jobs import pairs
from stages import evaluate, plan, sweep, train
from tests.scratch import ROOT, checked, write_parameters

ROW = "camvid-fcn-sgr"
GRID = {
    "profiles.mini.sweep": {"K": [4, 8], "L": [2, 8]},
    "profiles.mini.sgr": {"K": 8, "L": 2, "D": 16, "heads": 2, "beta": 1.0},
    "profiles.mini.seeds": [0, 1],
}
PAIRS = [(4, 2), (8, 2), (8, 8)]


@pytest.mark.parametrize("own", [{}, {f"rows.{ROW}.sgr": {"beta": 0.5, "K": 6}}])
def test_a_pair_is_the_row_with_these_values(tmp_path: Path, own: dict[str, object]) -> None:
    found = entries(checked(tmp_path, {**GRID, **own}), ROOT)["sweep/camvid"]
    assert list(pairs(found)) == PAIRS  # no L > K
    for (K, L), (to_train, to_evaluate) in pairs(found).items():
        values = {"K": K, "L": L}
        row = (
            {f"rows.{ROW}.sgr": {"beta": 0.5, **values}}
            if own
            else {f"sgr.{key}": value for key, value in values.items()}
        )
        experiment = entries(checked(tmp_path, {**GRID, **row}), ROOT)
        for mine, other in (
            (to_train, experiment[f"train/{ROW}"]),
            (to_evaluate, experiment[f"evaluate/{ROW}"]),
        ):
            assert (mine.settings, mine.code, mine.seeds) == (other.settings, other.code, other.seeds)
            assert (mine.row, mine.dataset, mine.weights, mine.generated) == (ROW, "camvid", None, True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with CamVid's manifest and components, where a job ends at once: mIoU is 10 K + L + the seed."""
    for name in ("sgr", "stages", "requirements.txt", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    manifest = {"splits": {"train": [{}] * 6, "val": [{}] * 2, "test": [{}]}}
    write_json(tmp_path / "work/mini/data/camvid.json", manifest)
    (tmp_path / "work/mini/components").mkdir()
    (tmp_path / "work/mini/components/camvid.zip").write_bytes(b"components")
    (tmp_path / "results/mini").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sgr.plan.inputs.data_folder", lambda profile, dataset, generated: tmp_path)
    monkeypatch.setattr("sgr.jobs.run.executors.run", run)
    return tmp_path


def run(jobs: Sequence[Job], cluster: Cluster) -> None:
    """Make what jobs make, but for those that have finished."""
    store = JobStore(cluster.jobs)
    for job in jobs:
        if store.finished(job):
            continue
        folder = store.prepare(job, {})
        write_json(folder / "provenance.json", {"key": job.key})
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "curve.csv").write_text("iteration,learning_rate,loss\n1,0.1,2\n")
        (folder / "fingerprint.json").write_text("{}")
        if job.kind is EVALUATE:
            assert job.where.model.read_bytes() == b"weights"
            trained = store.root / job.inputs["trained"]
            assert (trained / "done.json").exists()
            loss = Job.load(trained).settings["concept_loss"]["arguments"]
            miou = 10 * job.settings.seen.network.unit.arguments["K"] + loss["L"] + job.seed
            found = {"miou_ss": miou, "miou_ms": miou + 1, "collapsed_ss": False, "collapsed_ms": False}
            write_json(folder / "metrics.json", {"val": found})
        complete(folder, job.kind.artefacts)


def finished(repository: Path) -> set[str]:
    return {path.parent.name for path in (repository / "jobs").glob("*/done.json")}


def experiment(repository: Path, K: int, L: int) -> None:
    """What `dvc exp run -S sgr.K=… -S sgr.L=…` runs of the row."""
    write_parameters(repository, {**GRID, "sgr.K": K, "sgr.L": L})
    plan.main()
    train.main("mini", ROW)
    evaluate.main("mini", ROW)


def test_experiments_and_the_sweep_share_their_jobs(repository: Path) -> None:
    experiment(repository, 8, 8)
    about = read_json(repository / f"results/mini/camvid/{ROW}.json")["about"]
    assert (about["source"], about["splits"]) == ("generated", {"val": {"images": 2, "official": 101}})
    training = {
        "dataset": "camvid",
        "split": "train",
        "images": {"images": 6, "official": 367},
        "backbone": "tiny_resnet",
        "start": None,
    }
    assert about["training"].items() >= training.items()
    assert about["training"].keys() - training.keys() == {"iterations", "batch_size", "crop", "resize"}
    first = finished(repository)
    assert len(first) == 2 * 2  # two seeds, trained and evaluated
    write_parameters(repository, GRID)
    plan.main()
    sweep.main("mini", "camvid")
    after = finished(repository)
    assert first < after and len(after) == 2 * 2 * len(PAIRS)
    experiment(repository, 4, 2)
    assert finished(repository) == after


def test_the_sweep_writes_means_and_leaves_blanks(repository: Path) -> None:
    write_parameters(repository, GRID)
    plan.main()
    sweep.main("mini", "camvid")
    lines = list(csv.DictReader((repository / "results/mini/sweep.csv").read_text().splitlines()))
    found = {
        (int(line["K"]), int(line["L"])): (line["miou_ss"], line["miou_ms"], line["seeds"]) for line in lines
    }
    assert found == {
        (4, 2): ("42.5", "43.5", "2"),
        (4, 8): ("", "", "0"),
        (8, 2): ("82.5", "83.5", "2"),
        (8, 8): ("88.5", "89.5", "2"),
    }
    assert (repository / "results/mini/figures/sweep.png").read_bytes().startswith(b"\x89PNG")
    markdown = (repository / "results/mini/sweep.md").read_text()
    assert "| K = 4 | 43.50±0.71 | " in markdown and markdown.startswith(
        "Generated images, not the real dataset: CamVid (6 images in the place of 367 of train, 2 images in the place "
    )


def test_the_stage_needs_no_torch() -> None:
    modules = "stages.sweep, sgr.report.sweep, sgr.plan.jobs, sgr.report.settings, sgr.jobs.run.executors"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
