"""mIoU of a training at its checkpoints, on a part of the images that it is evaluated on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch.utils.data import DataLoader

from sgr.data import reader
from sgr.data.manifest import samples
from sgr.data.samples import EvaluationSamples
from sgr.device import memory_format
from sgr.evaluation.inference import scores
from sgr.evaluation.miou import confusion, summary
from sgr.evaluation.settings import EvaluateSettings
from sgr.files import read_json, write_json
from sgr.kinds import TRAIN
from sgr.models.network import Network, build
from sgr.models.settings import NetworkSettings
from sgr.plan.entry import read
from sgr.training.checkpoint import NAMES
from sgr.watch.runs import Run, recorded

RECORD = "watched.json"


class Measure:
    """Measures runs at their newest checkpoint, each checkpoint once; a record of it stays in the job's folder.

    Args:
        profile: whose plan says on which split and at which scale a row is evaluated.
        images: how many of the split, evenly spread over it.
        device: where networks run.
        meanwhile: is called after each image.
    """

    def __init__(self, profile: str, images: int, device: str, meanwhile: Callable[[], None]) -> None:
        self._profile, self._images, self._device = profile, images, torch.device(device)
        self._meanwhile = meanwhile
        self._seen: dict[Path, float] = {}

    def __call__(self, run: Run) -> None:
        """Fill `run.miou` with what is known, and measure the newest checkpoint if that is a new one."""
        if run.job.kind.name != TRAIN.name:
            return
        run.miou = self._record(run.folder)
        newest = run.folder / NAMES[0]
        with suppress(FileNotFoundError):  # it is just becoming the previous one, or the training has ended
            changed = newest.stat().st_mtime
            if self._seen.get(run.folder) == changed:
                return
            content = newest.read_bytes()
            self._seen[run.folder] = changed
            state = torch.load(io.BytesIO(content.partition(b"\n")[2]), map_location="cpu", weights_only=True)
            if state["iteration"] not in run.miou:
                run.miou[state["iteration"]] = self._miou(run, state["network"])
                told = {str(iteration): miou for iteration, miou in sorted(run.miou.items())}
                write_json(run.folder / RECORD, {"images": self._images, "miou": told})

    def _record(self, folder: Path) -> dict[int, float]:
        """What was measured on as many images."""
        known = recorded(folder / RECORD)
        told = known["miou"] if known.get("images") == self._images else {}
        return {int(iteration): miou for iteration, miou in told.items()}

    @torch.inference_mode()
    def _miou(self, run: Run, weights: dict[str, Any]) -> float:
        """Single-scale mIoU in 0..100, as an evaluation has it, of a part of the first split that it sees."""
        settings = read(EvaluateSettings, self._profile, "evaluate", run.job.row).settings
        network = self._network(run, weights, settings.seen.channels_last)
        where, dataset = run.job.where, settings.seen.dataset
        found = samples(Path(where["data"]), read_json(where["manifest"]), settings.splits[0])
        part = found[:: max(1, len(found) // self._images)][: self._images]
        matrix = torch.zeros(len(settings.classes), len(settings.classes), dtype=torch.int64)
        for item in DataLoader(EvaluationSamples(part, reader(dataset).read_label), batch_size=1):
            label = item["label"]
            size = (label.shape[1], label.shape[2])
            of_classes = scores(
                network, item["image"].to(self._device), size, settings.seen.resize, flip=False
            )
            matrix += confusion(of_classes.argmax(1).cpu(), label, len(settings.classes))
            self._meanwhile()
        return float(summary(matrix, settings.classes)["miou"] or 0.0)

    def _network(self, run: Run, weights: dict[str, Any], channels_last: bool) -> Network:
        # not the plan's: an experiment may train it with other values
        told = json.dumps(run.job.settings["network"])
        network = build(TypeAdapter(NetworkSettings).validate_json(told))
        network.load_state_dict(weights)
        network.to(self._device).to(memory_format=memory_format(channels_last))
        return network.eval()
