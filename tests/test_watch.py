"""Watching changes no bit of a training, measures what an evaluation would, and shows it where DVC looks."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sgr.evaluation.evaluate import evaluate
from sgr.files import read_json, write_bytes
from sgr.jobs.failure import one_sentence
from sgr.jobs.job import Job
from sgr.jobs.store import JobStore
from sgr.kinds import TRAIN
from sgr.models import weights_file
from sgr.plan.entry import write as write_entry
from sgr.training.settings import TrainFiles
from sgr.watch import live
from sgr.watch.board import Board
from sgr.watch.runs import LOSS, Runs, curve
from tests import tiny_row
from tests.scratch import environment, run

WATCH = """
import sys
from pathlib import Path
from sgr.jobs.store import JobStore
from sgr.watch.watch import watch
watch(JobStore(Path("jobs").absolute()), [], "mini", 50, "cpu", False)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TrainFiles:
    return tiny_row.make(tmp_path_factory.mktemp("row"))


def prepared(root: Path, files: TrainFiles, seed: int = 0, **settings: Any) -> Path:
    """The folder of a training job of the tiny row in the store of `root`."""
    job = Job(TRAIN, tiny_row.training(**settings), seed, where=files, row=tiny_row.ROW)
    return JobStore(root / "jobs").prepare(job, {})


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text()), delimiter="\t"))


def until(path: Path, seconds: float = 120) -> None:
    """Wait for a file."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.1)


@pytest.fixture
def watching(tmp_path: Path, files: TrainFiles) -> Iterator[Path]:
    """The root of a store that a process watches, with the plan of the row's evaluation."""
    root = tmp_path / "watched"
    entry = replace(tiny_row.entries()[f"evaluate/{tiny_row.ROW}"], settings=tiny_row.evaluation())
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_entry(entry, "mini", "evaluate", tiny_row.ROW)
    project = {"PYTHONPATH": str(tiny_row.ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", WATCH], cwd=root, env=environment(root, **project), stderr=subprocess.PIPE
    )
    yield root
    process.terminate()
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 0


def test_a_watched_training_that_was_killed_ends_with_the_same_bits(
    tmp_path: Path, files: TrainFiles, watching: Path
) -> None:
    settings = tiny_row.training()
    assert tiny_row.train_in_process(settings, files, tmp_path / "alone") == 0

    folder = prepared(watching, files)
    tiny_row.train_in_process(settings, files, folder, die_at_step=6)
    record = folder / "watched.json"
    until(record)
    shutil.copy(folder / "checkpoint.pt", tmp_path)
    until(watching / "dvclive/plots/metrics/miou/camvid.tsv")
    assert read_json(watching / live.METRICS)["live"]["camvid"].keys() == {"trained", "miou"}
    assert tiny_row.train_in_process(settings, files, folder) == 0
    for name in TRAIN.artefacts:
        assert (folder / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()

    told = read_json(record)["miou"]
    assert told["5"] == as_evaluated(tmp_path / "checkpoint.pt", files)


def as_evaluated(checkpoint: Path, files: TrainFiles) -> float:
    """mIoU of an evaluation job, given the weights of a checkpoint; it has 2 validation images."""
    content = checkpoint.read_bytes().partition(b"\n")[2]
    weights = torch.load(io.BytesIO(content), weights_only=True)["network"]
    folder = checkpoint.parent
    write_bytes(folder / "model.safetensors", weights_file.packed(weights))
    before = torch.are_deterministic_algorithms_enabled()
    evaluate(tiny_row.evaluation(), tiny_row.evaluation_files(files, folder / "model.safetensors"), 0, folder)
    torch.use_deterministic_algorithms(before)
    found: float = read_json(folder / "metrics.json")["val"]["miou_ss"]
    return found


def write_curve(folder: Path, *losses: float) -> None:
    rows = [("step", "loss"), *enumerate(losses, 1)]
    write_bytes(folder / LOSS, "".join(f"{step}\t{loss}\n" for step, loss in rows).encode())


def test_rows_of_a_dataset_stand_in_one_file_and_an_earlier_training_of_a_row_apart(
    tmp_path: Path, files: TrainFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    earlier = prepared(tmp_path, files, beta=0.25)
    write_curve(earlier, 3.0)
    (earlier / "failed.json").touch()
    time.sleep(0.01)
    for seed in (0, 1):
        write_curve(prepared(tmp_path, files, seed), 2.0, 1.0 + seed)
    (tmp_path / "dvclive/plots/metrics/loss").mkdir(parents=True)
    (tmp_path / "dvclive/plots/metrics/loss/ade20k.tsv").touch()

    live.write(Runs(JobStore(tmp_path / "jobs")).look())
    assert [path.name for path in live.PLOTS.rglob("*.tsv")] == ["camvid.tsv"]
    again = f"{tiny_row.ROW} {earlier.name[:6]}"
    found = [tuple(row.values()) for row in table(live.PLOTS / "loss" / "camvid.tsv")]
    row = tiny_row.ROW
    assert found == [
        *((row, "0", "1", "2.0"), (row, "0", "2", "1.0"), (row, "1", "1", "2.0"), (row, "1", "2", "2.0")),
        (again, "0", "1", "3.0"),
    ]
    assert read_json(live.METRICS) == {"live": {"camvid": {"trained": 0.222}}}  # 2 of 9 iterations, twice


def test_other_rows_are_left_out_when_some_are_named(tmp_path: Path, files: TrainFiles) -> None:
    write_curve(prepared(tmp_path, files), 2.0)
    store = JobStore(tmp_path / "jobs")
    assert len(Runs(store, (tiny_row.ROW,)).look()) == 1
    assert Runs(store, ("ade20k-fcn",)).look() == []


def test_a_line_that_is_being_written_is_left(tmp_path: Path) -> None:
    (tmp_path / "loss.tsv").write_text("step\tloss\n10\t2.5\n20\t1.")
    assert curve(tmp_path / "loss.tsv") == {10: 2.5}
    assert curve(tmp_path / "none.tsv") == {}


def test_tensorboard_gets_each_number_once(
    tmp_path: Path, files: TrainFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing import event_accumulator as accumulator

    monkeypatch.chdir(tmp_path)
    folder = prepared(tmp_path, files)
    write_curve(folder, 2.0)
    for board in (Board(), Board()):  # the second watch shows what the first did
        write_curve(folder, 2.0)
        board.write(Runs(JobStore(tmp_path / "jobs")).look())
        write_curve(folder, 2.0, 1.0)
        board.write(Runs(JobStore(tmp_path / "jobs")).look())
    written = accumulator.EventAccumulator(f"dvclive/tensorboard/camvid/{tiny_row.ROW}/0")
    written.Reload()
    assert [(event.step, event.value) for event in written.Scalars("loss")] == [(1, 2.0), (2, 1.0)]


def test_without_tensorboard_a_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(SystemExit) as ended, one_sentence():
        Board()
    assert ended.value.code == 2 and " has no package tensorboard: run " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["camvid-fnc"], "error: there is no row camvid-fnc in params/rows.yaml\n"),
        (["--images", "-1"], "error: --images -1: must be 0 or more\n"),
        (["--device", "tpu"], "error: --device tpu: must be cpu or cuda\n"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], sentence: str) -> None:
    done = run(tiny_row.ROOT, sys.executable, "-m", "sgr", "watch", *arguments)
    assert (done.returncode, done.stderr) == (2, sentence)
