"""What a network costs: parameters, FLOPs, peak memory and time, plain and with a unit (supplementary material).

The networks of one framework take turns, so that a slow spell of the machine meets all of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sgr.cost.settings import Candidate, OverheadSettings
from sgr.device import memory_format, reproducible
from sgr.errors import UserError
from sgr.files import write_json
from sgr.models.network import Network, build, parameter_count

FIELDS = 4  # a side: the labels of a batch are FIELDS x FIELDS fields of random classes, each a component


def overhead(settings: OverheadSettings, where: None, seed: int, folder: Path) -> None:
    """Write overhead.json: what each network costs, and on what it was measured.

    Raises:
        UserError: a network does not fit into the GPU's memory.
    """
    device = reproducible(seed, settings.threads)
    classes = settings.networks[0].network.classes
    batch = random_batch(classes, settings.batch_size, settings.crop, device)
    measured: list[dict[str, Any]] = []
    for group in groups(settings.networks):
        names = ", ".join(candidate.name for candidate in group)
        try:
            measured += measure_group(group, batch, settings, device)
        except torch.OutOfMemoryError:
            raise UserError(
                f"one of {names} does not fit into the GPU's memory with {settings.batch_size} images of "
                f"{settings.crop}: raise accumulate in params.yaml's training"
            ) from None
        print(f"[{len(measured)}/{len(settings.networks)}] {names}", flush=True)
    about = {
        "device": device_name(device),
        "torch": torch.__version__,
        "dataset": settings.dataset,
        "crop": list(settings.crop),
        "batch_size": settings.batch_size,
        "repeats": settings.repeats,
        "threads": settings.threads,
        "precision": settings.precision,
    }
    write_json(folder / "overhead.json", {**about, "networks": measured})
    write_json(folder / "measured.json", {"device": about["device"]})


def groups(networks: Iterable[Candidate]) -> list[list[Candidate]]:
    """The networks of each family and backbone together."""
    found: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in networks:
        found.setdefault((candidate.family, candidate.backbone), []).append(candidate)
    return list(found.values())


def measure_group(
    group: list[Candidate], batch: dict[str, Tensor], settings: OverheadSettings, device: torch.device
) -> list[dict[str, Any]]:
    """One record a network: what it is, parameters, FLOPs, bytes of memory, and seconds of each repeat."""
    subjects, records = [], []
    for candidate in group:
        torch.manual_seed(0)
        network = build(candidate.network, candidate.concept_loss)
        subject = Subject(network.to(device), batch, settings.precision, settings.channels_last)
        records.append(
            {
                "name": candidate.name,
                "family": candidate.family,
                "backbone": candidate.backbone,
                "unit": candidate.unit,
                "parameters": parameter_count(network),
                "flops": subject.flops(),
                "forward_memory": subject.peak_memory(subject.forward),
                "step_memory": subject.peak_memory(subject.step),
            }
        )
        subjects.append(subject)
    wait = torch.cuda.synchronize if device.type == "cuda" else None
    forwards = times_in_turns([subject.forward for subject in subjects], settings.repeats, wait)
    steps = times_in_turns([subject.step for subject in subjects], settings.repeats, wait)
    return [
        {**record, "forward_seconds": forward, "step_seconds": step}
        for record, forward, step in zip(records, forwards, steps, strict=True)
    ]


class Subject:
    """A network and a batch, and what is measured of them.

    Args:
        network: on its device.
        batch: of `random_batch`, there too.
        precision: `fp32` or `bf16`, by autocast.
        channels_last: how feature maps lie in memory.
    """

    def __init__(
        self, network: Network, batch: dict[str, Tensor], precision: str, channels_last: bool
    ) -> None:
        order = memory_format(channels_last)
        self.network = network.to(memory_format=order)
        self.images = batch["image"].contiguous(memory_format=order)
        self.labels, self.components = batch["label"], batch["components"]
        self.precision, self.device = precision, self.images.device

    def forward(self) -> None:
        """One image to class scores at its size, in evaluation mode."""
        self.network.eval()
        with torch.inference_mode(), self._autocast():
            self._scores()

    def step(self) -> None:
        """Forward, losses and backward of the batch, in training mode; the optimizer is not part of it."""
        self.network.train()
        self.network.zero_grad(set_to_none=True)
        with self._autocast():
            losses = self.network.losses(self.network(self.images), self.labels, self.components)
        torch.stack(list(losses.values())).sum().backward()

    def flops(self) -> int:
        """Of the convolutions and matrix products of one image's forward pass; a multiply-add is two."""
        self.network.eval()
        # The counter does not know all fused operations: without gradients a transformer layer is one, and attention is
        # another unless torch writes it out.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            self._scores()
        return int(counter.get_total_flops())

    def peak_memory(self, run: Callable[[], None]) -> int:
        """Bytes of tensors that `run` adds at its peak, gradients among them."""
        self.network.zero_grad(set_to_none=True)
        if self.device.type != "cuda":
            return peak_allocated(run)
        run()  # the first time the libraries take workspaces, which stay
        self.network.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    def _scores(self) -> None:
        size = (self.images.shape[2], self.images.shape[3])
        self.network.scores(self.network(self.images[:1]), size)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def random_batch(classes: int, images: int, crop: tuple[int, int], device: torch.device) -> dict[str, Tensor]:
    """Noise with labels in fields, as training's batches: image (B,3,h,w), label and components (B,h,w)."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (images, 3, *crop), dtype=torch.uint8, generator=generator)
    fields = torch.randint(0, classes, (images, 1, FIELDS, FIELDS), generator=generator)
    numbers = torch.arange(1, FIELDS**2 + 1).view(1, 1, FIELDS, FIELDS).expand(images, -1, -1, -1)
    label, components = (F.interpolate(small.float(), crop)[:, 0] for small in (fields, numbers))
    batch = {"image": image, "label": label.to(torch.uint8), "components": components.to(torch.int16)}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def times_in_turns(
    runs: list[Callable[[], object]], repeats: int, wait: Callable[[], None] | None = None
) -> list[list[float]]:
    """Seconds of each run in each of `repeats` rounds, A B C A B C; `wait` lets a device come to its end."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, found in zip(runs, times, strict=True):
            if wait:
                wait()
            began = time.perf_counter()
            run()
            if wait:
                wait()
            found.append(time.perf_counter() - began)
    return times


def peak_allocated(run: Callable[[], object]) -> int:
    """Bytes that torch's allocator for the CPU holds at the peak of `run` beyond what it held before.

    What `torch.cuda.max_memory_allocated` tells of a GPU, and as repeatable; scratch that the libraries below torch
    take for themselves is not in it. The resident set would hold that too, but also freed blocks that the C library
    keeps: within one process it differs by half from one step to the next.
    """
    # The profiler would say on every start that it starts, stops and finds no GPU.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        run()
    assert profile.kineto_results is not None
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate((event.nbytes() for event in events), initial=0))


def device_name(device: torch.device) -> str:
    """The GPU, or the CPU as /proc/cpuinfo names it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"CPU, {model}" if model else "CPU"
