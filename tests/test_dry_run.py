"""The dry run: what would be submitted, and an estimate that agrees with counting on real tensors."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import stages.download
import stages.plan
from sgr.config import load
from sgr.errors import UserError
from sgr.files import write_json
from sgr.launch.estimate import COPIES, Split, estimate, footprint
from sgr.launch.store import JobStore
from sgr.models import build
from sgr.models.network import parameter_count
from sgr.overhead import Subject, random_batch
from sgr.training.optimizer import build_optimizer
from stages import dry_run
from tests.scratch import copy_checkout, stage
from tests.tiny_row import entry

CROP, IMAGE = (64, 96), (96, 128)


def network(row: str = "camvid-fcn-sgr") -> dict:
    return entry("train", row)["network"]


@pytest.mark.parametrize("row", ["camvid-fcn-sgr", "cityscapes-mask2former", "cityscapes-segformer"])
def test_flops_are_those_of_real_tensors(row: str) -> None:
    arguments = entry("train", row)["network"]
    arguments["head"]["width"] = 32
    found = footprint(arguments, "camvid", CROP, IMAGE)
    real, cpu = build(**arguments, classes=11), torch.device("cpu")
    with_scores = Subject(real, random_batch(11, 1, IMAGE, cpu), "fp32", False).flops()
    assert found.forward(IMAGE, 1.0) == pytest.approx(with_scores, rel=1e-6)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        real(random_batch(11, 1, CROP, cpu)["image"])
    assert found.training == counter.get_total_flops()


def test_step_is_three_forward_passes() -> None:
    plan = entry("train", "camvid-fcn-sgr")
    found = footprint(plan["network"], "camvid", CROP, IMAGE)
    real = build(**plan["network"], classes=11, concept_loss=None).train()
    batch = random_batch(11, 2, CROP, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        output = real(batch["image"])
        torch.stack(list(real.losses(output, batch["label"], batch["components"]).values())).sum().backward()
    assert counter.get_total_flops() == pytest.approx(3 * 2 * found.training, rel=0.1)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_bytes_are_those_of_weights_and_optimizer(optimizer: str) -> None:
    row = {"train": entry("train", optimizer=optimizer)}
    cost = estimate(row, {"val": Split(2, IMAGE)}, 1.0)
    real = build(**network(), classes=11)
    weights = sum(tensor.nbytes for tensor in real.state_dict().values())
    assert cost.kept == COPIES * weights and (cost.evaluate, cost.semantics) == (0, 0)

    arguments = {"learning_rate": 0.1, "head_multiplier": 1.0, "momentum": 0.9, "weight_decay": 0.0}
    stepped = build_optimizer(real, optimizer=optimizer, **arguments)
    for parameter in real.parameters():
        parameter.grad = torch.zeros_like(parameter)
    stepped.step()
    moments = [
        value for state in stepped.state.values() for value in state.values() if torch.is_tensor(value)
    ]
    assert cost.checkpoint == weights + sum(tensor.nbytes for tensor in moments if tensor.dim())
    assert network() and parameter_count(real) * 4 <= weights


def test_hours_by_hand() -> None:
    row = {
        kind: entry(kind, iterations=50) if kind == "train" else entry(kind)
        for kind in ("train", "evaluate", "semantics")
    }
    splits = {"val": Split(2, IMAGE), "test": Split(3, IMAGE)}
    cost = estimate(row, splits, tflops=2.0)
    found = footprint(network(), "camvid", (32, 40), IMAGE)
    assert cost.train * 3600 * 2e12 == pytest.approx(50 * 4 * 3 * found.training)
    single = found.forward(IMAGE, 1.0)
    multi = sum(2 * found.forward(IMAGE, scale) for scale in (0.5, 1.0, 1.25))
    assert cost.evaluate * 3600 * 1e12 == pytest.approx(5 * (single + multi))
    assert cost.semantics * 3600 * 1e12 == pytest.approx(2 * single)
    assert (cost + cost).hours == pytest.approx(2 * cost.hours)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which nothing has run, as a repository of DVC."""
    root = copy_checkout(tmp_path_factory.mktemp("dry") / "copy")
    (root / "cluster.yaml").write_text(
        "executor: slurm\nslurm: {time: 2-00:00:00, gpus_per_job: 4, nodes: 2, cpus: 6, memory_gb: 64}\n"
    )
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return root


def test_paper_without_its_data(copy: Path) -> None:
    before = {
        path for path in copy.rglob("*") if "__pycache__" not in path.parts and ".dvc" not in path.parts
    }
    done = stage(
        copy,
        "dry_run",
        "--profile",
        "paper",
        "--tflops",
        "60",
        "evaluate@camvid-fcn",
        "semantics@camvid-fcn-sgr",
    )
    assert done.returncode == 0, done.stderr
    first, header, plain, sgr, total, *rest = done.stdout.splitlines()
    assert first == (
        "profile paper, executor slurm: a training job asks for 4 GPUs, 2 nodes and 4 processes, each other job for "
        "1 GPU, one node and one process; 6 cores a process, 64 GB a node, 2 d 0 h a run"
    )
    assert header.split()[:4] == ["row", "train", "evaluate", "semantics"]
    assert plain.split()[:7] == ["camvid-fcn", "1", "to", "submit", "1", "to", "submit"]
    assert sgr.split()[:7] == ["camvid-fcn-sgr", "1", "to", "submit", "1", "to", "submit"]
    # ResNet-101 at stride 8 on 360×480: 285 GFLOPs forward, three times, 16 images, 10000 iterations
    assert 0.55 < float(plain.split()[7]) < 0.8
    assert total.startswith("total") and rest[:3] == [
        *("train: 2 to submit", "evaluate: 1 to submit", "semantics: 1 to submit")
    ]
    assert "GPU-hours" in rest[3] and "a GPU sustains 60 TFLOP/s" in rest[5]
    after = {path for path in copy.rglob("*") if "__pycache__" not in path.parts and ".dvc" not in path.parts}
    assert after == before


def test_what_has_finished_is_told(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy)
    monkeypatch.setenv("SGR_EXECUTOR", "inline")
    stages.plan.main()
    stages.download.main("mini", "camvid")
    wanted = {"train@camvid-fcn", "evaluate@camvid-fcn"}
    ((_, [row]),) = dry_run.wanted_rows(load(Path("params.yaml")), wanted)
    jobs = dry_run.row_jobs("mini", row)
    folder = JobStore(copy / "jobs").prepare(jobs["train"][0], {"executor": "inline"})
    write_json(folder / "done.json", {})
    capsys.readouterr()
    dry_run.main(None, None, ["evaluate@camvid-fcn"])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "profile mini, executor inline: the jobs run on this machine"
    assert told[2].split()[:6] == ["camvid-fcn", "1", "finished", "1", "to", "submit"]


def test_mistakes_are_one_sentence(copy: Path) -> None:
    done = stage(copy, "dry_run", "evaluate@camvid-fnc")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and done.stdout == "", done.stderr
    assert "camvid-fnc" in done.stderr
    with pytest.raises(UserError, match="--tflops fast: a number above 0"):
        dry_run.rate_of("fast")


def test_unknown_profile(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    with pytest.raises(UserError, match="--profile papre: the profiles are mini, small, paper"):
        dry_run.load_profile("papre")
