"""Timings and peak memory side by side: `python -m bench.speed [SECTION...]`, one of SECTIONS or several.

Rivals take turns (A B A B ...) and medians are compared, so that other load on the machine meets all of them.
Peak memory is what a step adds to the resident set of a fresh process that holds the module and its input.
"""

from __future__ import annotations

import ctypes
import gc
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset

from sgr.connected import connected_components
from sgr.glore import GloRe
from sgr.positional import cells, sinusoid
from sgr.unit import SGR, Extent, SGROutput

THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
C, K, D, SIDE = 2048, 512, 512, 64  # the last map of a ResNet-101 of stride 8 at a crop of 512
ROUNDS = 7
ITERATIONS = 8  # of a training


class LiteralSGR(SGR):
    """SGR by the letter of Eq. 1-3: X' of 2C channels is built and its convolutions are nn.Conv2d's."""

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Concept logits (B,K,H,W), regions P (B,K,N) and tokens (B,K,D) by Eq. 1-3."""
        doubled = torch.cat([x, x], 1)
        if self.xy_embedding:
            channels, (H, W) = x.shape[1], x.shape[2:]
            along_x = x + sinusoid(cells(W, x), channels).T[:, None, :]
            along_y = x + sinusoid(cells(H, x), channels).T[:, :, None]
            doubled = torch.cat([along_x, along_y], 1)  # Eq. 1
            del along_x, along_y
        logits = self.concepts(doubled)
        P = torch.sigmoid(logits).flatten(2)  # Eq. 2
        return logits, P, P @ self.reduce(doubled).flatten(2).transpose(1, 2)  # Eq. 3

    def forward(self, x: Tensor) -> SGROutput:
        """As SGR's."""
        B, _, H, W = x.shape
        logits, P, tokens = self.project(x)
        extent = Extent.of(P.view(B, -1, H, W))
        if self.token_normalization == "area":
            tokens = tokens / extent.area.clamp_min(1e-6)
        if self.centroid_embedding:
            tokens = tokens + self._centroid_embedding(extent)
        tokens = self.reason(tokens)
        mapped = tokens.transpose(1, 2) @ P
        if self.token_normalization == "area":
            mapped = mapped / P.sum(1, keepdim=True).clamp_min(1e-6)
        return SGROutput(x + self.expand(mapped.reshape(B, -1, H, W)), logits, tokens)


def median_times(rivals: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each, in turns, after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds + 1):
        for name, run in rivals.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(measured[1:]) for name, measured in times.items()}


def projection_step(kind: str, side: int = SIDE) -> Callable[[], None]:
    """Forward and backward of Eq. 1-3 alone."""
    module, x, _ = _module(kind, side)
    assert isinstance(module, SGR)
    upstream = torch.randn(1, K, D)

    def step() -> None:
        _forget(module, x)
        if isinstance(module, LiteralSGR):
            tokens = module.project(x)[2]
        else:
            X, positions = x.flatten(2), module._positions(x)
            regions = torch.sigmoid(module._concept_logits(X, positions))
            tokens = module._pool(X, regions.flatten(2), positions, Extent.of(regions))
        tokens.backward(upstream)

    return step


def unit_step(kind: str, side: int = SIDE) -> Callable[[], None]:
    """Forward and backward of the whole unit."""
    module, x, upstream = _module(kind, side)

    def step() -> None:
        _forget(module, x)
        module(x).features.backward(upstream)

    return step


def _module(kind: str, side: int) -> tuple[torch.nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(1, C, side, side).requires_grad_()
    return {"sgr": SGR, "literal": LiteralSGR, "glore": GloRe}[kind](C, K, D), x, torch.randn_like(x)


def _forget(module: torch.nn.Module, x: Tensor) -> None:
    module.zero_grad(set_to_none=True)
    x.grad = None


STEPS = {"projection": projection_step, "unit": unit_step}


def peak(section: str, kind: str) -> float:
    """MB that a step adds to a process at its peak, measured in a process of its own."""
    command = [sys.executable, "-m", "bench.speed", "peak", section, kind]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def print_peak(section: str, kind: str) -> None:
    """What `peak` runs: libraries are loaded by a step on a few cells first, then one step is measured."""
    STEPS[section](kind, 4)()
    step = STEPS[section](kind)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # forget the highest resident set so far
    before = psutil.Process().memory_info().rss
    step()
    # not ru_maxrss, which a process inherits from the one that started it
    with open("/proc/self/status") as status:
        highest = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(highest / 2**10 - before / 2**20)


def projection() -> None:
    """Eq. 1-3 against their letter."""
    _compare("projection", ["sgr", "literal"])


def unit() -> None:
    """The whole unit against Eq. 1-3 by the letter, and against GloRe."""
    _compare("unit", ["sgr", "literal", "glore"])


def _compare(section: str, kinds: list[str]) -> None:
    seconds = median_times({kind: STEPS[section](kind) for kind in kinds})
    megabytes = {kind: peak(section, kind) for kind in kinds}
    for kind in kinds:
        ratio, room = seconds["sgr"] / seconds[kind], megabytes["sgr"] / megabytes[kind]
        print(
            f"{section:12} {kind:8} {1000 * seconds[kind]:7.0f} ms {megabytes[kind]:6.0f} MB"
            f"   sgr is {ratio:.2f} of its time, {room:.2f} of its memory"
        )


def small_network() -> tuple[Any, dict[str, Tensor]]:
    """The network of the profile `small`, and a batch of blobs for it."""
    from sgr.models.network import build
    from sgr.models.recipes import RECIPES
    from sgr.models.settings import NetworkSettings, Part

    torch.manual_seed(0)
    settings = NetworkSettings(
        backbone=RECIPES["efficientnet_lite0"].settings(16),
        head=Part("sgr.models.heads.fcn:head", {"width": 128}),
        unit=Part("sgr.unit:SGR", {"K": 64, "D": 128}),
        classes=11,
    )
    network = build(settings, Part("sgr.losses:ConceptLoss", {"L": 32}))
    labels = np.stack([blobs((160, 208), 11, seed) for seed in range(8)])
    label = torch.from_numpy(labels)
    image = torch.randint(0, 256, (8, 3, 160, 208), dtype=torch.uint8)
    return network, {"image": image, "label": label, "components": connected_components(label)}


WEIGHTS = dict.fromkeys(("segmentation", "concept_focal", "concept_dice", "concept_cosine"), 1.0)


def plain_steps(network: Any, optimizer: torch.optim.Optimizer, batches: list[dict[str, Tensor]]) -> None:
    """The training loop that everybody writes."""
    network.train()
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        losses = network.losses(network(batch["image"]), batch["label"], batch["components"])
        sum(WEIGHTS[name] * value for name, value in losses.items()).backward()
        optimizer.step()


def concept_loss() -> None:
    """Share of the concept loss, matching and backward included, in a whole training step."""
    network, batch = small_network()
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, 0.9)
    logits = network(batch["image"]).unit.concept_logits.detach().requires_grad_()
    seconds = median_times(
        {
            "step": lambda: plain_steps(network, optimizer, [batch]),
            "loss": lambda: network.concept_loss(logits, batch["components"]).backward(),
        },
        rounds=11,
    )
    print(
        f"concept_loss {1000 * seconds['loss']:.1f} ms of a training step of {1000 * seconds['step']:.0f} ms:"
        f" {100 * seconds['loss'] / seconds['step']:.1f} %"
    )


def components() -> None:
    """Component extraction against scipy class by class, and against decoding the labels' PNG."""
    maps, source = label_maps()
    encoded = []
    for labels in maps:
        png = io.BytesIO()
        Image.fromarray(labels).save(png, "png")
        encoded.append(png)
    found = [int(connected_components(labels).max()) for labels in maps]
    assert found == [by_scipy(labels) for labels in maps], "the two disagree on the number of components"
    seconds = median_times(
        {
            "sgr": lambda: [connected_components(labels) for labels in maps],
            "scipy": lambda: [by_scipy(labels) for labels in maps],
            "decoding": lambda: [np.asarray(Image.open(png)) for png in encoded],
        }
    )
    for name, total in seconds.items():
        print(
            f"components   {name:8} {1000 * total / len(maps):6.2f} ms a map of {maps[0].shape} ({source})"
            f"   sgr is {seconds['sgr'] / total:.2f} of its time"
        )


def by_scipy(labels: np.ndarray[Any, Any], min_share: float = 0.05) -> int:
    """Components of a label map, class by class: how many are at least 5 % of the largest."""
    square = np.ones((3, 3), bool)
    areas: list[int] = []
    for value in np.unique(labels[labels != 255]):
        numbered, _ = ndimage.label(ndimage.binary_opening(labels == value, square), square)
        areas += np.bincount(numbered.ravel())[1:].tolist()
    return sum(area >= min_share * max(areas) for area in areas)


def label_maps(count: int = 12) -> tuple[list[np.ndarray[Any, Any]], str]:
    """CamVid's validation labels if SGR_DATA holds them, else blobs of their size and number of classes."""
    if "SGR_DATA" in os.environ:
        from sgr.data import camvid

        samples = camvid.index(Path(os.environ["SGR_DATA"], "camvid"), "val")[:count]
        return [camvid.read_label(sample.label) for sample in samples], "CamVid"
    return [blobs((360, 480), 11, seed) for seed in range(count)], "blobs"


def blobs(size: tuple[int, int], classes: int, seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(H,W) labels: the strongest of as many smooth random fields, a tenth ignored."""
    generator = np.random.default_rng(seed)
    fields = np.stack([ndimage.gaussian_filter(generator.standard_normal(size), 12) for _ in range(classes)])
    labels = fields.argmax(0).astype(np.uint8)
    labels[ndimage.gaussian_filter(generator.standard_normal(size), 12) > 0.03] = 255
    return labels


class Repeated(Dataset[dict[str, Tensor]]):
    """The samples of a batch in turns, `length` altogether."""

    def __init__(self, fields: dict[str, list[Tensor]], length: int) -> None:
        self.fields, self.length = fields, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        return {name: values[position % len(values)] for name, values in self.fields.items()}


def training() -> None:
    """Images per second of the project's loop against a plain one: same network, same batches.

    Of whole trainings, of which ours writes a fingerprint of the first iterations and the weights at the end.
    """
    from torch.optim.lr_scheduler import LambdaLR

    from sgr.training.loop import Learner, Place, Samples, fit
    from sgr.training.settings import LoopSettings, Run

    network, batch = small_network()
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, 0.9)
    learner = Learner(network, WEIGHTS, optimizer, LambdaLR(optimizer, lambda _: 1.0))
    settings = LoopSettings(
        iterations=ITERATIONS,
        batch_size=8,
        accumulate=1,
        gradient_clip=0.0,
        precision="fp32",
        channels_last=False,
        compile=False,
        log_every=ITERATIONS,
    )
    samples = Repeated({name: list(tensor) for name, tensor in batch.items()}, 8 * ITERATIONS)
    run = Run("bench", loader_workers=0, checkpoint_seconds=1e9)

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            fit(learner, Samples(samples), settings, Place(Path(folder), 0, run))

    batches = [batch] * ITERATIONS
    seconds = median_times({"sgr": ours, "plain": lambda: plain_steps(network, optimizer, batches)})
    for name, total in seconds.items():
        print(
            f"training     {name:8} {8 * ITERATIONS / total:6.2f} images/s"
            f"   sgr is {seconds[name] / seconds['sgr']:.2f} of its speed"
        )


def startup() -> None:
    """Seconds from the start of a stage's process until all that it imports is there."""
    from sgr.kinds import KINDS
    from sgr.plan.entries import ROOTS, entries, parts
    from sgr.plan.params import load

    root = Path(__file__).parents[1]
    found = entries(load(root / "params.yaml"), root)
    common = ["stages.common", "sgr.plan.entry", "pydantic", "sgr.plan.stage_settings"]
    launching = [*common, "sgr.plan.jobs", "sgr.jobs.run.executors", "sgr.jobs.call"]
    modules = {
        "plan": ["stages.common", "sgr.plan.params", "sgr.plan.entries", "sgr.plan.pipeline"],
        "download": [*common, *ROOTS["download"], "sgr.generated.generate", "sgr.plan.inputs"],
        "components": [*common, *ROOTS["components"], "sgr.plan.inputs"],
        "table": [*common, *ROOTS["table"]],
        "figures": [*common, *ROOTS["figures"]],
    }
    rows = ("fcn-sgr", "upernet-sgr", "maskformer-sgr", "mask2former-sgr", "segformer-protoseg")
    for row in rows:
        for stage in ("train", "evaluate"):
            settings = found[f"{stage}/cocostuff10k-{row}"].settings
            made = [part.made_by.partition(":")[0] for part in parts(settings)]
            modules[f"{stage} {row}"] = [*launching, KINDS[stage].module, *made]
    seconds = median_times({name: lambda names=names: imported(names) for name, names in modules.items()}, 5)
    for name, value in seconds.items():
        print(f"startup      {name:26} {value:5.2f} s")


def imported(modules: list[str]) -> None:
    """Import modules in a new process, as a stage does, and wait until they are there, not until it ends."""
    code = "from sgr.jobs.startup import spare_collections; spare_collections(); "
    code += f"import {', '.join(modules)}; print(flush=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.read(1), "the imports failed"
        process.kill()


SECTIONS = {f.__name__: f for f in (projection, unit, concept_loss, components, training, startup)}


def main(arguments: list[str]) -> None:
    """Run the sections named, or all of them."""
    torch.set_num_threads(THREADS)
    if arguments[:1] == ["peak"]:
        return print_peak(*arguments[1:])
    unknown = [name for name in arguments if name not in SECTIONS]
    if unknown:
        sys.exit(f"error: no section {unknown[0]!r}: there are {', '.join(SECTIONS)}")
    for name in arguments or SECTIONS:
        SECTIONS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
