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

from sgr.data import dataset
from sgr.device import memory_format, reproducible
from sgr.errors import UserError
from sgr.files import write_json
from sgr.models import build
from sgr.models.network import Network, parameter_count

FIELDS = 4  # a side: the labels of a batch are FIELDS x FIELDS fields of random classes, each a component


def overhead(spec: dict[str, Any], where: dict[str, Any], folder: Path) -> list[str]:
    """Measure the networks of a plan entry: the job of the stage `overhead`.

    Args:
        spec: `plan` with `networks` (name, network, concept_loss: arguments of `sgr.models.build`), `dataset`, `crop`,
            `batch_size`, `repeats`, `threads`, `channels_last`, `precision`.
        where: nothing.
        folder: the job's own.

    Returns:
        The name of what it wrote: overhead.json.

    Raises:
        UserError: a network does not fit into the GPU's memory.
    """
    plan = spec["plan"]
    device = reproducible(0, plan["threads"])
    batch = random_batch(
        len(dataset(plan["dataset"]).CLASSES), plan["batch_size"], tuple(plan["crop"]), device
    )
    measured: list[dict[str, Any]] = []
    for group in groups(plan["networks"]):
        try:
            measured += measure_group(group, batch, plan, device)
        except torch.OutOfMemoryError:
            raise UserError(
                f"one of {', '.join(entry['name'] for entry in group)} does not fit into the GPU's memory with "
                f"{plan['batch_size']} images of {plan['crop']}: raise accumulate in params.yaml's training"
            ) from None
        print(f"[{len(measured)}/{len(plan['networks'])}] {', '.join(e['name'] for e in group)}", flush=True)
    settings = ("dataset", "crop", "batch_size", "repeats", "threads", "precision")
    about = {
        "device": device_name(device),
        "torch": torch.__version__,
        **{name: plan[name] for name in settings},
    }
    write_json(folder / "overhead.json", {**about, "networks": measured})
    write_json(folder / "measured.json", {"device": about["device"]})
    return ["overhead.json"]


def groups(networks: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The networks of each family and backbone together."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in networks:
        found.setdefault((entry["network"]["family"], entry["network"]["backbone"]), []).append(entry)
    return list(found.values())


def measure_group(
    group: list[dict[str, Any]], batch: dict[str, Tensor], plan: dict[str, Any], device: torch.device
) -> list[dict[str, Any]]:
    """One record a network; see `overhead` for the arguments."""
    classes = len(dataset(plan["dataset"]).CLASSES)
    subjects, records = [], []
    for entry in group:
        torch.manual_seed(0)
        network = build(**entry["network"], classes=classes, concept_loss=entry["concept_loss"])
        subject = Subject(network.to(device), batch, plan["precision"], plan["channels_last"])
        records.append(
            {
                "name": entry["name"],
                "family": entry["network"]["family"],
                "backbone": entry["network"]["backbone"],
                "unit": added(entry["network"]),
                "parameters": parameter_count(network),
                "flops": subject.flops(),
                "forward_memory": subject.peak_memory(subject.forward),
                "step_memory": subject.peak_memory(subject.step),
            }
        )
        subjects.append(subject)
    wait = torch.cuda.synchronize if device.type == "cuda" else None
    forwards = times_in_turns([subject.forward for subject in subjects], plan["repeats"], wait)
    steps = times_in_turns([subject.step for subject in subjects], plan["repeats"], wait)
    return [
        {**record, "forward_seconds": forward, "step_seconds": step}
        for record, forward, step in zip(records, forwards, steps, strict=True)
    ]


def added(network: dict[str, Any]) -> str:
    """What a network has beyond the plain one: `glore`, `sgr`, `protoseg` or nothing."""
    if network["unit"]:
        return str(network["unit"]["kind"])
    return "protoseg" if network["head"].get("prototypes") else ""


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
