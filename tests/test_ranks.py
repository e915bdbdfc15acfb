"""Several ranks train as one would: the same losses and gradients, the same bits when resumed, no rank left hanging."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgr import ranks
from sgr.data.files import IGNORE
from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs.failure import failure
from sgr.jobs.job import Job
from sgr.jobs.provenance import launched
from sgr.jobs.ranks import joined
from sgr.jobs.store import JobStore, is_finished
from sgr.kinds import TRAIN
from sgr.models.network import Network, build, weighted_sum
from sgr.models.settings import NetworkSettings, Part
from sgr.project import PROJECT
from sgr.training import segmentation as job
from sgr.training.batch_share import positions, share
from sgr.training.norm import RanksBatchNorm
from sgr.training.parallel import parallel
from sgr.training.segmentation import loss_weights
from sgr.training.settings import TrainFiles
from tests import local_ranks, tiny_row
from tests.few_steps import curve

KILLED, TERMINATED = -signal.SIGKILL, -signal.SIGTERM
FAMILIES = (
    "camvid-fcn-sgr",
    "camvid-fcn-glore",
    "cityscapes-deeplabv3-sgr",
    "ade20k-upernet-sgr",
    "cityscapes-segformer-sgr",
    "cityscapes-maskformer",
    "cityscapes-mask2former",
    "ade20k-hrnet-protoseg",
    "cityscapes-swin-protoseg",
)


# One step of every family in float64: the shares of the ranks against the whole batch


def batch(size: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Four images whose halves have other numbers of labelled pixels, classes and components; the first has none."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 3, size, size), generator=generator).double()
    blocks = torch.randint(0, 11, (4, 1, 4, 4), generator=generator).double()
    labels = F.interpolate(blocks, (size, size))[:, 0].to(torch.uint8)
    components = F.interpolate(torch.arange(16.0).view(1, 1, 4, 4), (size, size))[:, 0].repeat(4, 1, 1)
    components = components.to(torch.int16)
    labels[0] = IGNORE
    components[0] = 0
    labels[1, : size // 2] = IGNORE
    components[1].clamp_max_(3)
    return images, labels, components


def step(row: str) -> dict[str, Tensor]:
    """Losses, gradients and buffers of one step of a row, on this rank's share of the batch, averaged over ranks."""
    torch.manual_seed(0)
    settings = tiny_row.entries()[f"train/{row}"].settings
    network = build(replace(settings.network, classes=11), settings.concept_loss)
    network.double().train()
    for name, parameter in network.named_parameters():
        if name.endswith(("expand.weight", "norm.weight")) and name.startswith("unit."):
            nn.init.normal_(parameter, std=0.02)  # zero at first, and then nothing before it gets a gradient
    forward = parallel(network)
    share = slice(ranks.rank() * 4 // ranks.number(), (ranks.rank() + 1) * 4 // ranks.number())
    images, labels, components = (tensor[share] for tensor in batch())
    losses = network.losses(forward(images), labels, components)
    weighted_sum(losses, loss_weights(network, settings.beta)).backward()
    found = {f"loss {name}": ranks.mean(value) for name, value in losses.items()}
    found |= {f"gradient {name}": p.grad for name, p in network.named_parameters() if p.grad is not None}
    assert len(found) == len(losses) + len(list(network.parameters())), "a parameter without a gradient"
    return found | {
        f"buffer {name}": value for name, value in network.state_dict().items() if value.is_floating_point()
    }


def same_points() -> None:
    """Mask2Former's points depend on their place alone, not on a rank's generator."""
    rand = torch.rand

    def fixed(*size: int, **settings: Any) -> Tensor:
        if len(size) != 3:
            return rand(*size, **settings)
        generator = torch.Generator().manual_seed(size[1])
        return rand(1, *size[1:], generator=generator).expand(size)

    torch.rand = fixed  # type: ignore[assignment]


def steps(folder: Path) -> None:
    local_ranks.without_dropout()
    same_points()
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]  # losses ask for float32 at least
    with joined():
        found = {row: step(row) for row in FAMILIES}
        assert all(ranks.agreed(1) for _ in found)
        if ranks.rank() == 0:
            torch.save(found, folder / f"{ranks.number()}.pt")


@pytest.fixture(scope="module")
def one_step(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    folder = tmp_path_factory.mktemp("steps")
    for number in (1, 2):
        assert set(local_ranks.run(number, steps, folder)) == {0}, (folder / "rank0.txt").read_text()
    return {number: torch.load(folder / f"{number}.pt") for number in (1, 2)}


@pytest.mark.parametrize("row", FAMILIES)
def test_two_ranks_have_the_losses_and_gradients_of_the_whole_batch(
    row: str, one_step: dict[int, Any]
) -> None:
    """Batch norm, concept loss, matching, cross-entropy, Sinkhorn and prototypes, all over both ranks."""
    whole, shared = one_step[1][row], one_step[2][row]
    assert whole.keys() == shared.keys()
    for name in whole:
        # atol: a gradient that cancels is rounding alone
        torch.testing.assert_close(shared[name], whole[name], rtol=1e-9, atol=1e-12)


def norms(folder: Path) -> None:
    with joined():
        torch.save(normalised(RanksBatchNorm), folder / f"{ranks.rank()}.pt")


def normalised(kind: Callable[[nn.BatchNorm2d], nn.Module]) -> list[Tensor]:
    """Two steps of a batch norm on this rank's images: outputs, gradients of input and parameters, moments."""
    torch.manual_seed(1)
    plain = nn.BatchNorm2d(3, momentum=0.3).double()
    nn.init.uniform_(plain.weight)
    norm = kind(plain)
    x, weights = 5 + torch.randn(2, 6, 3, 4, 5, dtype=torch.float64)
    own = slice(0, 6) if ranks.number() == 1 else slice(0, 2) if ranks.rank() == 0 else slice(2, 6)
    x = x[own].clone().requires_grad_()
    outputs = [norm(x * scale) for scale in (1.0, 2.0)]
    torch.stack(outputs).sin().mul(weights[own]).sum().backward()
    parameters = [plain.weight.grad, plain.bias.grad]
    return [*outputs, x.grad, *parameters, norm.running_mean, norm.running_var, norm.num_batches_tracked]


def test_batch_norm_over_ranks_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    """Ranks of two and of four images; gradients of parameters are shares, which DDP adds up."""
    assert local_ranks.run(2, norms, tmp_path) == [0, 0]
    whole = normalised(lambda plain: plain)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for index, expected in enumerate(whole):
        parts = first[index], second[index]
        found = torch.cat(parts) if index < 3 else sum(parts) if index < 5 else parts[0]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert torch.equal(first[5], second[5]) and torch.equal(first[6], second[6])


# The share of a rank


@pytest.mark.parametrize("number", [1, 2, 3])
def test_ranks_share_each_part_of_each_batch(number: int) -> None:
    """12 images a batch in two parts, from batch 3 on: together exactly the positions of one rank, part by part."""
    own = [list(positions(range(3, 5), 12, 2, rank, number)) for rank in range(number)]
    size = 6 // number
    for part in range(4):
        run = [position for rank in own for position in rank[part * size : (part + 1) * size]]
        assert run == list(range(36 + part * 6, 36 + part * 6 + 6))


def test_batch_that_cannot_be_shared_is_one_sentence() -> None:
    with pytest.raises(
        UserError, match=r"^batch_size = 8 must be a multiple of ranks x accumulate = 3 x 2: set "
    ) as e:
        share(8, 2, 3)
    assert "\n" not in str(e.value)


# Jobs


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TrainFiles:
    return with_run(tiny_row.make(tmp_path_factory.mktemp("row")), checkpoint_seconds=1e9)


def with_run(files: TrainFiles, **changes: Any) -> TrainFiles:
    return replace(files, run=replace(files.run, **changes))


def prepared(root: Path, files: TrainFiles, rate: float | None = None, **loop: Any) -> Path:
    """The folder of a training job."""
    settings = tiny_row.training(loop=loop, optimizer=rate and {"learning_rate": rate})
    return JobStore(root).prepare(Job(TRAIN, settings, 0, where=files), launched("local", None, PROJECT))


@pytest.fixture(scope="module")
def undisturbed(files: TrainFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job that two ranks did in one go."""
    folder = prepared(tmp_path_factory.mktemp("undisturbed"), files)
    assert local_ranks.run(2, local_ranks.work, folder) == [0, 0], (folder / "rank1.txt").read_text()
    return folder


def same(first: Path, second: Path) -> bool:
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in TRAIN.artefacts)


@pytest.mark.parametrize("accumulate, double, rate", [(1, False, 0.0005), (2, True, 0.02)])
def test_two_ranks_log_the_losses_of_one(
    accumulate: int, double: bool, rate: float, files: TrainFiles, tmp_path: Path
) -> None:
    """Twenty iterations without dropout: in float32 at a rate where rounding stays small, in float64 at mini's."""
    loop = {"iterations": 20, "log_every": 1, "accumulate": accumulate}
    curves = []
    for number in (1, 2):
        folder = prepared(tmp_path / str(number), files, rate, **loop)
        assert set(local_ranks.run(number, work_without_dropout, folder, double)) == {0}
        curves.append(curve(folder))
        assert read_json(folder / "provenance.json")["ranks"] == number
    assert len(curves[0]) == 20 and curves[0][-1]["loss"] < curves[0][0]["loss"]
    for one, two in zip(*curves, strict=True):
        assert two == pytest.approx(one, abs=1e-4)


def work_without_dropout(folder: Path, double: bool) -> None:
    local_ranks.without_dropout()
    if double:
        job.build = build_double
    local_ranks.work(folder)


def build_double(settings: NetworkSettings, concept_loss: Part | None) -> Network:
    return build(settings, concept_loss).double()


def test_two_runs_of_two_ranks_are_the_same_bytes(
    undisturbed: Path, files: TrainFiles, tmp_path: Path
) -> None:
    folder = prepared(tmp_path, with_run(files, loader_workers=1))
    assert local_ranks.run(2, local_ranks.work, folder) == [0, 0]
    assert same(undisturbed, folder)


@pytest.mark.parametrize("rank", [0, 1])
def test_killed_rank_ends_the_job_which_resumes(
    rank: int, undisturbed: Path, files: TrainFiles, tmp_path: Path
) -> None:
    folder = prepared(tmp_path, with_run(files, checkpoint_seconds=0))
    codes = local_ranks.run(2, local_ranks.work, folder, {"rank": rank, "step": 5, "signal": signal.SIGKILL})
    assert (
        codes[rank] == KILLED and tiny_row.reached(folder / "checkpoint.pt") == 4 and not is_finished(folder)
    )
    if rank == 1:
        assert codes[0] == 2
        assert "one of the 2 ranks ended without a word" in str(failure(folder, "failed"))
    assert local_ranks.run(2, local_ranks.work, folder) == [0, 0]
    assert same(undisturbed, folder)


def test_signal_to_one_rank_makes_all_write_a_checkpoint(
    undisturbed: Path, files: TrainFiles, tmp_path: Path
) -> None:
    """In the middle of two rows of the curve, whose losses are not lost."""
    folder = prepared(tmp_path, files)
    codes = local_ranks.run(2, local_ranks.work, folder, {"rank": 1, "step": 5, "signal": signal.SIGTERM})
    assert codes == [TERMINATED, TERMINATED] and tiny_row.reached(folder / "checkpoint.pt") == 5
    assert local_ranks.run(2, local_ranks.work, folder) == [0, 0]
    assert same(undisturbed, folder)


def test_failing_rank_shows_its_own_traceback(files: TrainFiles, tmp_path: Path) -> None:
    folder = prepared(tmp_path, files)
    codes = local_ranks.run(2, local_ranks.work, folder, {"rank": 1, "step": 3, "error": "of rank 1"})
    assert 0 not in codes
    said = str(failure(folder, "failed"))
    assert said.endswith("ZeroDivisionError: of rank 1") and "weighted_sum" in said


def test_three_ranks_resume_with_the_same_bits(files: TrainFiles, tmp_path: Path) -> None:
    """A sum of three depends on its order, which must not change with the buckets of gradients."""
    whole, killed = (prepared(tmp_path / name, files, batch_size=6) for name in ("whole", "killed"))
    assert local_ranks.run(3, local_ranks.work, whole) == [0, 0, 0]
    event = {"rank": 0, "step": 5, "signal": signal.SIGTERM}
    assert local_ranks.run(3, local_ranks.work, killed, event) == [TERMINATED] * 3
    assert local_ranks.run(3, local_ranks.work, killed) == [0, 0, 0]
    assert same(whole, killed)


def test_another_number_of_ranks_goes_on(undisturbed: Path, files: TrainFiles, tmp_path: Path) -> None:
    folder = prepared(tmp_path, files)
    event = {"rank": 0, "step": 5, "signal": signal.SIGTERM}
    local_ranks.run(2, local_ranks.work, folder, event)
    assert local_ranks.run(1, local_ranks.work, folder) == [0]
    rows, expected = curve(folder), curve(undisturbed)
    assert rows[:2] == expected[:2] and [row["iteration"] for row in rows] == [2, 4, 6, 8, 9]
    # the losses of iteration 5 are in the row of 6; those of 6 are of the same images and nearly the same weights
    assert rows[2]["loss"] == pytest.approx(expected[2]["loss"], rel=0.05)
    assert read_json(folder / "provenance.json")["ranks"] == 1


def test_finished_job_is_not_done_again(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / undisturbed.name
    shutil.copytree(undisturbed, folder)
    attempts = (folder / "attempts.txt").read_text()
    assert local_ranks.run(2, local_ranks.work, folder) == [0, 0]
    assert (folder / "attempts.txt").read_text() == attempts
