"""The dry run: what would be submitted, and an estimate that agrees with counting on real tensors."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import stages.components
import stages.download
import stages.plan
from sgr.cli import dry_run
from sgr.cost import detection as estimate_detection
from sgr.cost.overhead import Subject, random_batch
from sgr.cost.segmentation import COPIES, Split, estimate, footprint
from sgr.data.coco import CLASSES
from sgr.detection.network import build as build_detector
from sgr.errors import UserError
from sgr.files import write_json
from sgr.jobs.store import JobStore
from sgr.models import build
from sgr.models.network import parameter_count
from sgr.plan.params import load
from sgr.training.optimizer import build_optimizer
from tests import tiny_transfer
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
    cost = estimate(row, {"camvid": {"val": Split(2, IMAGE)}}, 1.0)
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
    row["instance_semantics"] = row["semantics"] | {"dataset": "coco", "split": "val2017", "examples": 0}
    images = {
        "camvid": {"val": Split(2, IMAGE), "test": Split(3, IMAGE)},
        "coco": {"val2017": Split(7, (64, 96))},
    }
    cost = estimate(row, images, tflops=2.0)
    found = footprint(network(), "camvid", (32, 40), IMAGE)
    assert cost.train * 3600 * 2e12 == pytest.approx(50 * 4 * 3 * found.training)
    single = found.forward(IMAGE, 1.0)
    multi = sum(2 * found.forward(IMAGE, scale) for scale in (0.5, 1.0, 1.25))
    assert cost.evaluate * 3600 * 1e12 == pytest.approx(5 * (single + multi))
    assert cost.semantics * 3600 * 1e12 == pytest.approx(2 * single)
    assert cost.instance_semantics * 3600 * 1e12 == pytest.approx(7 * found.forward((64, 96), 1.0))
    assert (cost + cost).hours == pytest.approx(2 * cost.hours)


@pytest.mark.parametrize("row", ["coco-imagenet", "coco-sgr"])
def test_detection_is_that_of_real_tensors(row: str) -> None:
    arguments, (H, W) = tiny_transfer.entry("transfer", row)["network"], (64, 96)
    found = estimate_detection.footprint(arguments, (H - 7, W))
    real = build_detector(**arguments, classes=len(CLASSES)).train()
    # so that neither overlap nor a low score leaves fewer regions than the most there can be
    real.proposals.nms_thresh, real.heads.score_thresh, real.heads.nms_thresh = 1.0, 0.0, 1.0
    images = torch.rand(1, 3, H, W) * 255
    boxes = torch.tensor([[4.0, 4.0, 30.0, 40.0], [40.0, 10.0, 90.0, 60.0]])
    target = {
        "boxes": boxes,
        "labels": torch.tensor([1, 2]),
        "masks": torch.ones(2, H, W, dtype=torch.uint8),
    }
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        losses = real.losses(real(images), [target])
        assert counter.get_total_flops() == pytest.approx(found.training, rel=1e-6)
        torch.stack(list(losses.values())).sum().backward()
    assert counter.get_total_flops() == pytest.approx(3 * found.training, rel=0.1)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        assert len(real.eval().detections(real(images), [(H, W)])[0]["boxes"]) == 100
    assert counter.get_total_flops() == pytest.approx(found.evaluation, rel=1e-6)
    assert found.weights == sum(tensor.nbytes for tensor in real.state_dict().values())


def test_detection_hours_by_hand() -> None:
    row = {kind: tiny_transfer.entry(kind, "coco-sgr") for kind in ("transfer", "detect")}
    cost = estimate_detection.estimate(row, {"coco": {"val2017": Split(6, (48, 64))}}, tflops=2.0)
    # 56 or 64 pixels high, 64 in evaluation
    trained = estimate_detection.footprint(row["transfer"]["network"], (60, 80))
    whole = estimate_detection.footprint(row["transfer"]["network"], (64, 85))
    assert cost.transfer * 3600 * 1e12 == pytest.approx(5 * 2 * 3 * trained.training)
    assert cost.detect * 3600 * 1e12 == pytest.approx(6 * whole.evaluation)
    assert cost.hours == pytest.approx(cost.transfer + cost.detect)
    assert cost.checkpoint == trained.weights + trained.parameters and cost.kept == COPIES * trained.weights


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
    targets = ("evaluate@camvid-fcn", "semantics@camvid-fcn-sgr", "detect@coco-imagenet")
    done = stage(copy, "dry_run", "--profile", "paper", "--tflops", "60", *targets)
    assert done.returncode == 0, done.stderr
    first, header, plain, sgr, detector, total, *rest = done.stdout.splitlines()
    assert first == (
        "profile paper, executor slurm: a training job asks for 4 GPUs, 2 nodes and 4 processes, each other job for "
        "1 GPU, one node and one process; 6 cores a process, 64 GB a node, 2 d 0 h a run"
    )
    kinds = ("train", "evaluate", "semantics", "instance semantics", "transfer", "detect")
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
    assert rest[3:6] == ["instance_semantics: none", "transfer: 1 to submit", "detect: 1 to submit"]
    assert "GPU-hours" in rest[6] and "a GPU sustains 60 TFLOP/s" in rest[8] and "Table 3" in rest[-1]
    after = {path for path in copy.rglob("*") if "__pycache__" not in path.parts and ".dvc" not in path.parts}
    assert after == before


def test_what_has_finished_is_told(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy)
    monkeypatch.setenv("SGR_EXECUTOR", "inline")
    stages.plan.main()
    stages.download.main("mini", "camvid")
    stages.download.main("mini", "cocostuff10k")
    stages.download.main("mini", "coco")
    stages.components.main("mini", "cocostuff10k")
    wanted = {f"{kind}@coco-sgr" for kind in ("transfer", "detect")}
    ((_, [row]),) = dry_run.wanted_rows(load(Path("params.yaml")), wanted)
    jobs = dry_run.row_jobs("mini", row)
    store = JobStore(copy / "jobs")
    for kind in ("train", "transfer"):
        write_json(store.prepare(jobs[kind][0], {"executor": "inline"}) / "done.json", {})
    capsys.readouterr()
    dry_run.main(None, None, ["detect@coco-sgr"])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "profile mini, executor inline: the jobs run on this machine"
    assert re.match(r"cocostuff10k-fcn-sgr +1 finished: \S+ h ", told[2])
    assert re.match(r"coco-sgr +1 finished: \S+ h +1 to submit: \S+ h ", told[3])


def test_mistakes_are_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    with pytest.raises(UserError, match="camvid-fnc") as error:
        dry_run.main(None, None, ["evaluate@camvid-fnc"])
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="--tflops fast: a number above 0"):
        dry_run.rate_of("fast")
    with pytest.raises(UserError, match="--profile papre: the profiles are mini, small, paper"):
        dry_run.load_profile("papre")
