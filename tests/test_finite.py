"""What is not finite is noticed at its iteration, by all ranks, and reaches no checkpoint and no result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sgr import matching
from sgr.errors import UserError
from sgr.training import loop
from sgr.training.finite import Finite
from sgr.training.segmentation import train
from sgr.training.settings import TrainFiles
from tests import local_ranks, tiny_row
from tests.test_ranks import prepared

pytestmark = pytest.mark.usefixtures("on_the_cpu")
ADVICE = (
    "run it again, which resumes from the last checkpoint, and if it ends so again, lower the learning rate"
)
FINE = {"loss": torch.tensor(1.0), "dice": torch.tensor(0.5)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TrainFiles:
    return tiny_row.make(tmp_path_factory.mktemp("row"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("change", "gradient", "named"),
    [
        ({"dice": 1.0, "loss": 1.0}, 0.0, "the loss dice"),
        ({"loss": 1.0}, 0.0, "the loss"),
        ({}, 1.0, "the gradient"),
    ],
)
def test_the_first_iteration_and_the_first_cause_are_named(
    change: dict[str, float], gradient: float, named: str, bad: float
) -> None:
    finite = Finite(10)
    for iteration in range(1, 7):
        finite.note(iteration, FINE, torch.tensor(2.0))
    finite.check()
    losses = FINE | {name: torch.tensor(bad) for name in change}
    finite.note(7, losses, torch.tensor(bad if gradient else 2.0))
    finite.note(8, FINE, torch.tensor(2.0))  # what comes after the first says nothing
    finite.note(9, {name: torch.tensor(bad) for name in FINE}, torch.tensor(bad))
    with pytest.raises(UserError) as raised:
        finite.check()
    assert str(raised.value) == f"{named} is not finite at iteration 7: {ADVICE}"


def at_call(number: int, original: Callable[..., Tensor], factor: float) -> Callable[..., Tensor]:
    calls = 0

    def counted(*arguments: object) -> Tensor:
        nonlocal calls
        calls += 1
        return original(*arguments) * (factor if calls == number else 1)

    return counted


def test_named_although_the_curve_has_no_row_there_and_no_checkpoint_was_due(
    files: TrainFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read at the row of the curve, which is not written then."""
    rarely = replace(files, run=replace(files.run, checkpoint_seconds=1e9))
    monkeypatch.setattr(loop, "weighted_sum", at_call(6, loop.weighted_sum, float("nan")))
    with pytest.raises(UserError, match=r"^the loss is not finite at iteration 6: "):
        train(tiny_row.training("camvid-fcn", loop={"log_every": 5}), rarely, 0, tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists() and not (tmp_path / "model.safetensors").exists()
    assert "nan" not in (tmp_path / "dvclive" / "plots" / "metrics" / "loss.tsv").read_text()


@pytest.mark.parametrize("what", ["weight", "buffer", "momentum"])
@pytest.mark.parametrize(("number", "reached"), [(4, 3), (9, 8)])
def test_state_that_is_not_finite_reaches_no_checkpoint_and_no_result(
    files: TrainFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    number: int,
    reached: int,
) -> None:
    """Though all losses and gradients up to then were: at an iteration and at the last."""
    original, calls = loop.step, 0

    def struck(learner: loop.Learner, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        done = original(learner, *arguments)  # type: ignore[arg-type]
        if calls == number:
            network, optimizer = learner.network, learner.optimizer
            parameter = next(network.parameters())
            found = {
                "weight": parameter.data,
                "buffer": next(value for name, value in network.named_buffers() if "running_var" in name),
                "momentum": optimizer.state[parameter]["momentum_buffer"],
            }
            found[what][0] = float("inf")
        return done

    monkeypatch.setattr(loop, "step", struck)
    with pytest.raises(UserError, match=rf"^a weight is not finite at iteration {number}: "):
        train(tiny_row.training("camvid-fcn"), files, 0, tmp_path)
    assert tiny_row.reached(tmp_path / "checkpoint.pt") == reached
    assert not (tmp_path / "model.safetensors").exists()


def test_matching_without_an_answer_is_told_as_what_came_before_it(
    files: TrainFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad step is an iteration old when the matching meets it; costs that are bad themselves are named."""
    rarely = replace(files, run=replace(files.run, checkpoint_seconds=1e9))
    settings = tiny_row.training(loop={"log_every": 5})
    with monkeypatch.context() as patch:
        patch.setattr(loop, "weighted_sum", at_call(2, loop.weighted_sum, float("nan")))
        with pytest.raises(UserError, match=r"^the loss is not finite at iteration 2: "):
            train(settings, rarely, 0, tmp_path / "before")
    monkeypatch.setattr("sgr.losses.matching_cost", at_call(3, matching.matching_cost, float("nan")))
    with pytest.raises(UserError, match=r"^a cost of the matching is not finite at iteration 3: "):
        train(settings, rarely, 0, tmp_path / "itself")


@pytest.mark.parametrize("rank", [0, 1])
def test_all_ranks_raise_and_the_job_resumes(rank: int, files: TrainFiles, tmp_path: Path) -> None:
    folder = prepared(tmp_path, replace(files, run=replace(files.run, checkpoint_seconds=0)))
    event = {"rank": rank, "step": 5, "factor": float("nan")}
    assert local_ranks.run(2, local_ranks.work, folder, event) == [2, 2]
    for number in (0, 1):
        assert "is not finite at iteration 5" in (folder / f"rank{number}.txt").read_text()
    assert tiny_row.reached(folder / "checkpoint.pt") == 4
    assert local_ranks.run(2, local_ranks.work, folder) == [0, 0]
