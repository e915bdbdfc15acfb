"""The overhead table: FLOPs and memory against what can be counted by hand, rounds in turns, the job and its table."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sgr.cost import overhead
from sgr.cost.overhead import Subject, groups, peak_allocated, random_batch, times_in_turns
from sgr.cost.settings import Candidate, OverheadSettings
from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs.job import Code
from sgr.kinds import OVERHEAD
from sgr.models.network import build
from sgr.models.settings import Part
from sgr.plan import entry
from sgr.plan.entry import Entry
from sgr.report.overhead import build as table
from sgr.report.overhead import write
from tests import networks

MIB = 2**20
K, D, C, FEED = 6, 8, 128, 4  # concepts, their width, channels of tiny_resnet's last map, feed-forward / D
CPU = torch.device("cpu")


def candidate(unit: str, part: Part | None, backbone: str = "tiny_resnet") -> Candidate:
    """Dil-FCN, plain or with a unit."""
    name = "-".join(filter(None, ("fcn", backbone, unit)))
    network = networks.settings("fcn", backbone, 8, part, classes=19, width=16)
    return Candidate(name, "fcn", backbone, unit, network, networks.concept_loss() if unit == "sgr" else None)


NETWORKS = (
    candidate("", None),
    candidate("glore", networks.glore(K, D)),
    candidate("sgr", networks.sgr(K, D, heads=2, layers=2)),
)
SETTINGS = OverheadSettings(
    NETWORKS,
    dataset="cityscapes",
    crop=(32, 40),
    batch_size=2,
    repeats=3,
    threads=1,
    channels_last=True,
    precision="fp32",
)
# what the job says of how it measured
ABOUT = {
    "dataset": "cityscapes",
    "crop": [32, 40],
    "batch_size": 2,
    "repeats": 3,
    "threads": 1,
    "precision": "fp32",
}


def subject(number: int) -> Subject:
    torch.manual_seed(0)
    network = build(NETWORKS[number].network, NETWORKS[number].concept_loss)
    return Subject(network, random_batch(19, 2, (32, 40), CPU), "fp32", channels_last=True)


class Encoder(nn.Module):
    """One convolution of 3x3, 3 to 8 channels, a transformer layer over the pixels, a product for the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=32, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.layer(self.convolution(images.float()).flatten(2).transpose(1, 2))
        return out

    def scores(self, output: Tensor, size: tuple[int, int]) -> Tensor:
        return output @ output.new_ones(8, 5)


def test_flops_are_two_for_each_multiply_add_of_one_image() -> None:
    batch = random_batch(5, 3, (6, 7), CPU)
    n = 6 * 7
    convolution = n * 8 * 3 * 9
    # query, key, value and output, the two products of attention, the two of the feed-forward part
    transformer = 4 * n * 8 * 8 + 2 * n * n * 8 + 2 * n * 8 * 32
    found = Subject(Encoder(), batch, "fp32", channels_last=False)  # type: ignore[arg-type]
    assert found.flops() == 2 * (convolution + transformer + n * 8 * 5)
    with torch.inference_mode():  # what surrounds the count does not matter to it
        assert found.flops() == 2 * (convolution + transformer + n * 8 * 5)


def test_what_sgr_adds_in_flops() -> None:
    n = 4 * 5  # cells of the last map
    regions_and_pooling = K * C * n + K * C * n + K * C * D
    layer = 4 * K * D * D + 2 * K * K * D + 2 * K * D * FEED * D
    back = K * D * C + K * C * n
    expected = 2 * (regions_and_pooling + 2 * layer + back)
    found = subject(2).flops() - subject(0).flops()
    # beside them the position embeddings: products with one row or column of cells, not with all of them
    assert expected < found < 1.5 * expected


def test_peak_of_the_allocator_counts_what_lives_at_once() -> None:
    held = torch.zeros(MIB // 4 * 8)  # 8 MiB, from before

    def run() -> None:
        a = torch.empty(MIB // 4)
        b = torch.empty(MIB // 4 * 3)
        del a
        torch.empty(MIB // 4 * 2).fill_(1)
        del b
        held.add_(1)

    assert peak_allocated(run) == 5 * MIB
    assert peak_allocated(lambda: None) == 0


def test_memory_freed_in_between_that_was_there_before_is_not_subtracted() -> None:
    held = [torch.zeros(MIB // 4 * 8)]

    def run() -> None:
        held.clear()
        torch.zeros(MIB // 4)

    assert peak_allocated(run) == MIB


def test_memory_of_a_step_holds_gradients_and_activations() -> None:
    plain = subject(0)
    found = plain.peak_memory(plain.step)
    gradients = sum(4 * p.numel() for p in plain.network.parameters())
    assert found > gradients > 0
    # the gradients of the first step do not count for the second
    assert plain.peak_memory(plain.step) == found
    assert 0 < plain.peak_memory(plain.forward) < found


def test_networks_take_turns() -> None:
    calls: list[str] = []
    runs = [lambda name=name: calls.append(name) for name in "abc"]
    times = times_in_turns(runs, 2, lambda: calls.append("."))
    assert "".join(calls) == ".a..b..c." * 2
    assert [len(of_one) for of_one in times] == [2, 2, 2]
    assert all(seconds >= 0 for of_one in times for seconds in of_one)


def test_groups_are_families_on_their_backbones() -> None:
    other = candidate("", None, "resnet101")
    assert groups([NETWORKS[0], other, *NETWORKS[1:]]) == [list(NETWORKS), [other]]


def test_batch_has_fields_that_are_components() -> None:
    batch = random_batch(19, 2, (32, 40), CPU)
    assert {name: (tuple(t.shape), t.dtype) for name, t in batch.items()} == {
        "image": ((2, 3, 32, 40), torch.uint8),
        "label": ((2, 32, 40), torch.uint8),
        "components": ((2, 32, 40), torch.int16),
    }
    assert batch["components"].unique().tolist() == list(range(1, 17))
    assert batch["label"].max() < 19
    for number in range(1, 17):
        assert len(batch["label"][0][batch["components"][0] == number].unique()) == 1
    again = random_batch(19, 2, (32, 40), CPU)
    assert all(torch.equal(batch[name], again[name]) for name in batch)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("job")
    overhead.overhead(SETTINGS, None, 0, folder)
    assert {path.name for path in folder.iterdir()} == {*OVERHEAD.artefacts, "measured.json"}
    found: dict[str, Any] = read_json(folder / "overhead.json")
    assert read_json(folder / "measured.json") == {"device": found["device"]}
    return found


def test_the_job_measures_every_network(measured: dict[str, Any]) -> None:
    assert {name: measured[name] for name in ABOUT} == ABOUT
    assert [one["name"] for one in measured["networks"]] == [one.name for one in NETWORKS]
    plain, glore, sgr = measured["networks"]
    assert [one["unit"] for one in (plain, glore, sgr)] == ["", "glore", "sgr"]
    for key in ("parameters", "flops", "step_memory", "forward_memory"):
        assert 0 < plain[key] <= glore[key] and plain[key] <= sgr[key], key
        assert key == "forward_memory" or plain[key] < sgr[key], key
    for one in (plain, glore, sgr):
        assert len(one["step_seconds"]) == len(one["forward_seconds"]) == 3
        assert min(one["step_seconds"] + one["forward_seconds"]) > 0
    unit = build(NETWORKS[2].network).unit
    assert unit is not None
    assert sgr["parameters"] - plain["parameters"] == sum(p.numel() for p in unit.parameters())


def test_all_but_the_times_is_the_same_again(measured: dict[str, Any], tmp_path: Path) -> None:
    overhead.overhead(SETTINGS, None, 0, tmp_path)

    def lasting(found: dict[str, Any]) -> list[dict[str, Any]]:
        return [{k: v for k, v in one.items() if not k.endswith("_seconds")} for one in found["networks"]]

    assert lasting(read_json(tmp_path / "overhead.json")) == lasting(measured)


def test_bf16_and_one_network_alone(tmp_path: Path) -> None:
    settings = replace(SETTINGS, precision="bf16", networks=NETWORKS[2:], repeats=1, channels_last=False)
    overhead.overhead(settings, None, 0, tmp_path)
    (one,) = read_json(tmp_path / "overhead.json")["networks"]
    assert len(one["step_seconds"]) == 1


def test_a_full_gpu_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(overhead, "measure_group", full)
    with pytest.raises(
        UserError, match=r"one of fcn-tiny_resnet, .* 2 images of \(32, 40\): raise accumulate"
    ):
        overhead.overhead(SETTINGS, None, 0, tmp_path)
    assert not (tmp_path / "overhead.json").exists()


# The table


def record(name: str, unit: str, scale: float, seconds: list[float]) -> dict[str, Any]:
    return {
        "name": name,
        "family": "fcn",
        "backbone": name.split("-")[1],
        "unit": unit,
        "parameters": int(4_000_000 * scale),
        "flops": int(3_000_000_000 * scale),
        "forward_memory": int(10 * MIB * scale),
        "step_memory": int(200 * MIB * scale),
        "forward_seconds": [s / 10 for s in seconds],
        "step_seconds": seconds,
    }


FOUND = {
    **ABOUT,
    "device": "CPU, Some 3000",
    "torch": "2.14.1",
    "networks": [
        record("fcn-tiny", "", 1, [0.1, 0.3, 0.2]),
        record("fcn-tiny-sgr", "sgr", 1.5, [9.0, 0.3, 0.3]),  # one slow round does not move the median
        record("fcn-large-protoseg", "protoseg", 2, [0.1]),  # without a plain one beside it
    ],
}


def test_ratios_are_to_the_plain_network() -> None:
    frame = table(FOUND).set_index("network")
    sgr = frame.loc["fcn-tiny-sgr"]
    assert (sgr["method"], sgr["step_ms"], sgr["forward_ms"]) == (
        "Dil-FCN + SGR",
        pytest.approx(300),
        pytest.approx(30),
    )
    for name in ("parameters", "flops", "step_memory", "forward_memory", "step_ms", "forward_ms"):
        assert sgr[f"{name}_ratio"] == pytest.approx(1.5), name
        assert frame.loc["fcn-tiny", f"{name}_ratio"] == 1
    assert frame.loc["fcn-large-protoseg"].filter(like="_ratio").isna().all()


def test_the_table_says_where_it_was_measured(tmp_path: Path) -> None:
    write(FOUND, "mini", tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["mini.csv", "mini.md"]
    text = (tmp_path / "overhead" / "mini.md").read_text()
    first = text.splitlines()[:3]
    assert first[0] == "Random images of 32 × 40 pixels, not a dataset; tiny, large."
    assert first[2] == "Device: CPU, Some 3000; 1 thread; fp32; torch 2.14.1."
    assert "multiply-add counted as 2" in text and "32 × 40 pixels" in text and "of 2 such images" in text
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    assert ["Dil-FCN", "tiny", "4.00", "3.00", "200", "10", "200.0", "20.0"] in lines
    assert [
        "Dil-FCN + SGR",
        "tiny",
        "6.00 (×1.50)",
        "4.50 (×1.50)",
        "300 (×1.50)",
        "15 (×1.50)",
        "300.0 (×1.50)",
        "30.0 (×1.50)",
    ] in lines
    assert ["Dil-FCN + ProtoSeg", "large", "8.00", "6.00", "400", "20", "100.0", "10.0"] in lines
    with open(tmp_path / "overhead" / "mini.csv", newline="") as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert rows["fcn-tiny-sgr"]["flops"] == "4500000000" and rows["fcn-tiny-sgr"]["flops_ratio"] == "1.5"
    assert {row["device"] for row in rows.values()} == {"CPU, Some 3000"}


def test_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.overhead import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SGR_EXECUTOR", "inline")
    monkeypatch.setenv("SGR_JOBS", str(tmp_path / "jobs"))
    entry.write(Entry(SETTINGS, Code()), "mini", "overhead", "all")
    main("mini")
    first = (tmp_path / "results/overhead/mini.csv").read_bytes()
    assert read_json(tmp_path / "results/provenance/mini/overhead.json")["device"]
    main("mini")  # a finished job is not measured again
    assert (tmp_path / "results/overhead/mini.csv").read_bytes() == first
