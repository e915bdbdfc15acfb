"""The dry run: what would be submitted and how its jobs stand, told without data, weights or a finished stage."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import stages.components
import stages.download
import stages.plan
from sgr.cli import dry_run
from sgr.cli.graph import Stage
from sgr.datasets import Split, describe
from sgr.errors import UserError
from sgr.files import write_json
from sgr.jobs.store import JobStore, complete
from sgr.plan.jobs import of_entry
from sgr.plan.params import load
from tests.scratch import checked, copy_checkout, run
from tests.tiny_row import ROOT, entries


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which nothing has run, as a repository of DVC."""
    root = copy_checkout(tmp_path_factory.mktemp("dry") / "copy")
    (root / "cluster.yaml").write_text(
        "executor: slurm\nslurm: {time: 2-00:00:00, gpus_per_job: 4, nodes: 2, cpus: 6, memory_gb: 64}\n"
    )
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return root


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if "__pycache__" not in path.parts and ".dvc" not in path.parts}


def test_paper_without_its_data(copy: Path) -> None:
    before = files(copy)
    targets = ("evaluate@camvid-fcn", "semantics@camvid-fcn-sgr", "detect@coco-imagenet")
    command = (sys.executable, "-m", "sgr", "dry-run", "--profile", "paper", "--tflops", "60", *targets)
    done = run(copy, *command)
    assert done.returncode == 0, done.stderr
    first, header, plain, sgr, detector, total, *rest = done.stdout.splitlines()
    assert first == (
        "profile paper, executor slurm: a training job asks for 4 GPUs, 2 nodes and 4 processes, each other job for "
        "1 GPU, one node and one process; 6 cores a process, 64 GB a node, 2 d 0 h a run"
    )
    kinds = ("train", "evaluate", "semantics", "transfer", "detect")
    assert re.split("  +", header.strip()) == ["row", *kinds, "disk", "checkpoint"]
    job = r" +1 to submit: (\S+) h"
    trained = re.match(f"camvid-fcn{job}{job} ", plain)
    assert re.match(f"camvid-fcn-sgr{job}{job} ", sgr)
    detected = re.match(f"coco-imagenet{job}{job} ", detector)
    # ResNet-101 at stride 8 on 360×480: 285 GFLOPs forward, three times, 16 images, 10000 iterations
    assert trained and 0.55 < float(trained[1]) < 0.8
    # 512 + 128 regions of 1.6 GFLOPs and an image of 0.2 to 0.3 TFLOPs, three times, 8 images, 270000 iterations
    assert detected and 70 < float(detected[1]) < 90
    assert total.startswith("total")
    assert rest[:3] == ["train: 2 to submit", "evaluate: 1 to submit", "semantics: 1 to submit"]
    assert rest[3:5] == ["transfer: 1 to submit", "detect: 1 to submit"]
    assert "GPU-hours" in rest[5] and "a GPU sustains 60 TFLOP/s" in rest[7] and "Table 3" in rest[-1]
    assert files(copy) == before


def test_what_has_finished_is_told(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy)
    monkeypatch.setenv("SGR_EXECUTOR", "inline")
    stages.plan.main()
    stages.download.main("mini", "cocostuff10k")
    stages.download.main("mini", "coco")
    stages.components.main("mini", "cocostuff10k")
    store, made = JobStore(copy / "jobs"), {}
    for kind, row in (("train", "cocostuff10k-fcn-sgr"), ("transfer", "coco-sgr")):
        made[kind, row] = of_entry(kind, "mini", entries()[f"{kind}/{row}"], made)
        folder = store.prepare(made[kind, row][0], {"executor": "inline"})
        write_json(folder / "provenance.json", {})
        complete(folder, ())
    capsys.readouterr()
    dry_run.main(["detect@coco-sgr"])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "profile mini, executor inline: the jobs run on this machine"
    assert re.match(r"cocostuff10k-fcn-sgr +1 finished: \S+ h ", told[2])
    assert re.match(r"coco-sgr +1 finished: \S+ h +1 to submit: \S+ h ", told[3])


def test_sizes_are_those_of_the_descriptions_or_generated(tmp_path: Path) -> None:
    params = load(ROOT / "params.yaml")
    published = dry_run.images_of(params.model_copy(update={"profile": "paper"}))
    assert published.keys() == {*params.datasets, params.detection.dataset}
    assert published["camvid"]["test"] == Split(233, (360, 480)) == describe("camvid").splits["test"]
    asked = {"profiles.paper.subset": {"camvid": 150, "coco": 20}, "profile": "paper"}
    part = dry_run.images_of(checked(tmp_path, asked))
    assert [part["camvid"][split].images for split in ("val", "test")] == [101, 150]
    assert part["coco"]["val2017"] == Split(20, (480, 640)) and part["ade20k"] == published["ade20k"]
    generated = dry_run.images_of(params.model_copy(update={"profile": "mini"}))
    assert generated.keys() == published.keys()
    assert generated["camvid"]["test"].images < published["camvid"]["test"].images


def test_pairs_of_the_sweep_are_counted_one_by_one() -> None:
    stages = [
        Stage("train", "mini", "camvid-fcn"),
        Stage("sweep", "mini", "camvid"),
        Stage("overhead", "mini", ""),
    ]
    rows = dry_run.wanted_rows(entries(), stages)
    ((name, [row]), (sweep, pairs)) = rows.items()
    assert (name, list(row)) == ("camvid-fcn", ["train"])
    assert sweep == f"sweep ({len(pairs)} pairs)" and len(pairs) > 1
    assert all(list(pair) == ["train", "evaluate"] for pair in pairs)
    assert len({str(pair["train"].settings) for pair in pairs}) == len(pairs)


def test_mistakes_are_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    with pytest.raises(UserError, match="no stage, row or dataset 'camvid-fnc': did you mean camvid-fcn"):
        dry_run.main(["camvid-fnc"])
    with pytest.raises(UserError, match="--tflops 0: a number above 0"):
        dry_run.main([], tflops=0)
    with pytest.raises(UserError, match="--profile papre: the profiles are mini, paper, small"):
        dry_run.load_profile("papre")
    with pytest.raises(UserError, match="have no train@gone, which DVC knows: run `python -m sgr pipeline`"):
        dry_run.wanted_rows(entries(), [Stage("train", "mini", "gone")])
