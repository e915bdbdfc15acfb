"""A row in small: a generated dataset with its manifest and components, plan entries of a tiny network, and a training
process that kills itself."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from sgr.data.component_extraction import extract
from sgr.download import manifest
from sgr.evaluation.settings import EvaluateSettings, EvaluationFiles, Seen, SemanticsSettings
from sgr.files import write_json
from sgr.generated.generate import generate
from sgr.jobs.call import call
from sgr.jobs.job import Job
from sgr.kinds import KINDS
from sgr.models.settings import NetworkSettings, Part
from sgr.plan.entries import Entries
from sgr.plan.entries import entries as plan
from sgr.plan.params import load
from sgr.training.settings import Augmentation, Run, TrainFiles, TrainSettings

ROOT = Path(__file__).parents[1]
ROW = "camvid-fcn-sgr"


def make(root: Path, size: tuple[int, int] = (45, 61)) -> TrainFiles:
    """Generate CamVid, 6 training, 2 validation and 2 test images, and return what a training job reads."""
    generate("camvid", root / "camvid", {"train": 6, "val": 2, "test": 2}, size, seed=0)
    made = manifest.make(root / "camvid", "camvid")
    write_json(root / "camvid.json", made)
    extract(root / "camvid", made, "train", root / "components.zip")
    run = Run("a tiny row", loader_workers=0, checkpoint_seconds=0)
    return TrainFiles(root / "camvid", root / "camvid.json", root / "components.zip", None, run)


def evaluation_files(files: TrainFiles, model: Path) -> EvaluationFiles:
    """What a job that looks at the trained `model` reads."""
    return EvaluationFiles(files.data, files.manifest, model, 0, "a tiny row")


def network(settings: NetworkSettings) -> NetworkSettings:
    """The same with 16 channels in its head and few tokens."""
    head = Part(settings.head.made_by, settings.head.arguments | {"width": 16})
    return replace(settings, head=head, unit=settings.unit and unit(settings.unit))


def unit(part: Part) -> Part:
    """SGR or GloRe with 8 tokens of width 16."""
    few = {"K": 8, "D": 16} | ({"heads": 2} if "heads" in part.arguments else {})
    return Part(part.made_by, part.arguments | few)


def training(
    row: str = ROW,
    *,
    loop: dict[str, Any] | None = None,
    optimizer: dict[str, Any] | None = None,
    **changes: Any,
) -> TrainSettings:
    """The training settings of params.yaml's profile `mini`, made tiny.

    Its head has dropout and batch norm, as in the profile; 9 iterations of 4 images with a row of the curve every 2.

    Args:
        loop, optimizer: changes of these settings.
        changes: of the others.
    """
    found: TrainSettings = entries()[f"train/{row}"].settings
    loss = found.concept_loss
    tiny = {
        "network": network(found.network),
        "loop": replace(found.loop, **{"iterations": 9, "batch_size": 4, "log_every": 2, **(loop or {})}),
        "optimizer": replace(found.optimizer, **(optimizer or {})),
        "augmentation": Augmentation((32, 40), found.augmentation.scale, True, 0.0),
        "warmup": 2,
        "concept_loss": loss and Part(loss.made_by, loss.arguments | {"L": 4}),
    }
    return replace(found, **{**tiny, **changes})


def evaluation(row: str = ROW) -> EvaluateSettings:
    """The evaluation settings of the profile, for the network of `training`."""
    found: EvaluateSettings = entries()[f"evaluate/{row}"].settings
    return replace(found, seen=_seen(found.seen), inference=replace(found.inference, scales=(0.5, 1.0, 1.25)))


def semantics(row: str = ROW) -> SemanticsSettings:
    """The semantics settings of the profile, for the network of `training`, with two examples."""
    found: SemanticsSettings = entries()[f"semantics/{row}"].settings
    return replace(found, seen=_seen(found.seen), examples=2)


def _seen(seen: Seen) -> Seen:
    return replace(seen, network=network(seen.network))


def reached(checkpoint: Path) -> int:
    """The iteration of a checkpoint."""
    import torch

    content = checkpoint.read_bytes().partition(b"\n")[2]
    iteration: int = torch.load(io.BytesIO(content), weights_only=True)["iteration"]
    return iteration


def train_in_process(
    settings: Any,
    files: Any,
    folder: Path,
    *,
    seed: int = 0,
    kind: str = "train",
    die_at_step: int | None = None,
    die_while_saving: int | None = None,
    terminate_at_step: int | None = None,
) -> int:
    """Train in a process of its own and return its exit code, -9 when it was killed.

    Args:
        kind: of the job, `train` or `transfer`.
        die_at_step: SIGKILL in the middle of this iteration of the process, counted from 1.
        die_while_saving: SIGKILL when this checkpoint of the process lies beside its name, not yet renamed.
        terminate_at_step: SIGTERM in the middle of this iteration.
    """
    deaths = die_at_step, die_while_saving, terminate_at_step
    process = start(settings, files, folder, *deaths, seed=seed, kind=kind)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def start(
    settings: Any, files: Any, folder: Path, *deaths: int | None, seed: int = 0, kind: str = "train"
) -> Any:
    """The same, not waited for."""
    # a server that has all imported forks each process: seconds less than a fresh interpreter, and no shared threads
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["sgr.training.segmentation", "sgr.unit", "sgr.losses", "dvc.repo", "tests.tiny_row"]
    )
    process = context.Process(target=_train, args=(settings, files, folder, seed, kind, *deaths))
    process.start()
    return process


def _train(
    settings: Any,
    files: Any,
    folder: Path,
    seed: int,
    kind: str,
    die_at_step: int | None = None,
    die_while_saving: int | None = None,
    terminate_at_step: int | None = None,
) -> None:
    import torch

    import sgr.files
    from sgr.training import loop

    # as in a job: the child of a fork server would start a server of its own for its loader workers
    multiprocessing.set_start_method("fork", force=True)
    torch.cuda.is_available = lambda: False  # the same bits are promised on a CPU only
    _kill_at(loop, "weighted_sum", die_at_step)
    _kill_at(loop, "weighted_sum", terminate_at_step, number=signal.SIGTERM)
    if die_while_saving is not None:
        _kill_at(sgr.files.os, "replace", die_while_saving, "checkpoint.pt")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.txt", "a") as log, contextlib.redirect_stderr(log):
        call(Job(KINDS[kind], settings, seed, where=files), folder)


def _kill_at(module: Any, name: str, call: int | None, only: str = "", number: int = signal.SIGKILL) -> None:
    """Send this process a signal at a call of `module.name`, counted from 1, whose last argument ends in `only`."""
    original, calls = getattr(module, name), 0

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        if not only or str(arguments[-1]).endswith(only):
            calls += 1
            if calls == call:
                os.kill(os.getpid(), number)
        return original(*arguments)

    setattr(module, name, counted)


@cache
def entries() -> Entries:
    """All plan entries of the profile `mini`."""
    return plan(load(ROOT / "params.yaml").model_copy(update={"profile": "mini"}), ROOT)
