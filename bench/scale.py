"""Time and memory at 1,000 to 20,000 generated images: `python -m bench.scale` writes docs/scale.md and docs/scale.png.

Each step runs in a process of its own over all cores, after its imports. CPU time counts its workers and suffers
less from what else the machine does; plain decoding of the same files by the same workers is what it is held against.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pandas as pd
import psutil

from sgr.files import read_json, write_bytes, write_json

SIZES = (1000, 5000, 20_000)
PIXELS = (64, 80)  # of the generated images, a quarter more at most: what is measured grows with their number
LARGE, LARGE_PIXELS = 300, (480, 640)  # images as large as MS-COCO's own
FULL = (118_287, 860_001)  # images and annotations of train2017
LABELLED, DETECTION = "cocostuff10k", "coco"


# Steps: each does its work on the data of a folder


def decode_samples(folder: Path) -> None:
    from sgr.data.files import read_image

    through(read_image, [sample.image for sample in labelled(folder)])
    decode_labels(folder)


def decode_labels(folder: Path) -> None:
    from sgr.data.cocostuff10k import read_label

    through(read_label, [sample.label for sample in labelled(folder)])


def decode_coco(folder: Path) -> None:
    from sgr.data.files import read_image

    paths = (folder / DETECTION).glob("*2017/*.jpg")
    through(read_image, sorted(paths))


def labelled_manifest(folder: Path) -> None:
    manifest(folder, LABELLED)


def coco_manifest(folder: Path) -> None:
    manifest(folder, DETECTION)


def components(folder: Path) -> None:
    from sgr.data.component_extraction import extract

    extract(folder / LABELLED, read_json(folder / f"{LABELLED}.json"), "train", folder / "components.zip")


def evaluation(folder: Path) -> None:
    """The evaluation job with a network that costs nothing: loader, confusion matrices and metrics."""
    import torch

    from sgr.datasets import describe
    from sgr.evaluation import evaluate
    from sgr.evaluation.settings import EvaluateSettings, EvaluationFiles, Inference, Seen
    from sgr.models.recipes import RECIPES
    from sgr.models.settings import NetworkSettings, Part

    def predicted(_: object, __: object, size: tuple[int, int], **___: object) -> tuple[torch.Tensor, ...]:
        return torch.zeros(1, *size, dtype=torch.int64), torch.ones(1, *size, dtype=torch.int64)

    classes = describe(LABELLED).classes
    head = Part("sgr.models.heads.fcn:head", {"width": 16})
    network = NetworkSettings(RECIPES["tiny_resnet"].settings(8), head, None, len(classes))  # not built
    seen = Seen(LABELLED, network, resize=1.0, channels_last=False, threads=1)
    settings = EvaluateSettings(seen, classes, ("train",), Inference((1.0,), flip=False))
    manifest, model = folder / f"{LABELLED}.json", folder / "none"
    files = EvaluationFiles(folder / LABELLED, manifest, model, os.cpu_count() or 1, "scale")
    with (
        mock.patch.object(evaluate, "trained_network", lambda *_: torch.nn.Identity()),
        mock.patch.object(evaluate, "single_and_multi_scale", predicted),
    ):
        evaluate.evaluate(settings, files, 0, folder)


def annotations(folder: Path) -> None:
    """Every mask of every image, as the evaluation of detections and instances reads them: one process."""
    from sgr.data.coco import Annotations

    found = Annotations(folder / DETECTION, "train2017")
    for image in found.images:
        for instance in found.instances(image.id):
            instance.mask(image.height, image.width)


def full_annotations(folder: Path) -> None:
    from sgr.data.coco import Annotations

    Annotations(folder, "train2017")


def full_pycocotools(folder: Path) -> None:
    from pycocotools.coco import COCO

    COCO(folder / "annotations" / "instances_train2017.json")


class Step(NamedTuple):
    """What is measured; `against` is the title of the step that decodes the same files, `imports` are not measured."""

    title: str
    work: Callable[[Path], None]
    against: str | None = None
    imports: tuple[str, ...] = (
        "sgr.data.component_extraction",
        "sgr.data.parallel",
        "sgr.download.manifest",
        "sgr.data.coco",
        "sgr.data.cocostuff10k",
        "scipy.io",
    )


# torch imports the last one as the job sets it up
EVALUATION = ("sgr.evaluation.evaluate", "scipy.io", "torch._inductor")
STEPS = (
    Step("decoding images and label maps", decode_samples),
    Step("manifest", labelled_manifest, "decoding images and label maps"),
    Step("decoding label maps", decode_labels),
    Step("components", components, "decoding images and label maps"),
    Step("evaluation", evaluation, "decoding images and label maps", EVALUATION),
    Step("decoding images of MS-COCO", decode_coco),
    Step("manifest of MS-COCO", coco_manifest, "decoding images of MS-COCO"),
    Step("masks of MS-COCO, one process", annotations, imports=("sgr.data.coco", "pycocotools.mask")),
)
LARGE_STEPS = STEPS[:4]
FULL_STEPS = (
    Step("annotations of train2017", full_annotations, imports=("sgr.data.coco",)),
    Step("the same by pycocotools", full_pycocotools, imports=("pycocotools.coco",)),
)


def labelled(folder: Path) -> Iterable[object]:
    from sgr.data.cocostuff10k import SPLITS, index

    return [sample for split in SPLITS for sample in index(folder / LABELLED, split)]


def through(function: Callable[[Path], object], paths: Sequence[Path]) -> None:
    """Read files over all cores and drop what they hold."""
    from sgr.data.parallel import in_parallel

    for _ in in_parallel(dropped, ((function, path) for path in paths)):
        pass


def dropped(function: Callable[[Path], object], path: Path) -> None:
    function(path)


def manifest(folder: Path, name: str) -> None:
    from sgr.download.manifest import make

    write_json(folder / f"{name}.json", make(folder / name, name))


# Measuring


def measured(step: Step, folder: Path, images: int) -> dict[str, object]:
    """One row of the table: seconds, CPU seconds, and peak MB of the process and of its workers together."""
    command = [sys.executable, "-m", "bench.scale", "--step", step.title, "--folder", str(folder)]
    workers = 0
    quiet = os.environ | {"TQDM_DISABLE": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=quiet, text=True) as process:
        while process.poll() is None:
            workers = max(workers, resident(process.pid))
            time.sleep(0.02)
        assert process.stdout is not None and process.returncode == 0, f"{step.title} failed"
        row = json.loads(process.stdout.read().splitlines()[-1])
    row |= {"step": step.title, "images": images, "workers": workers / 2**20}
    print(f"{step.title:34} {images:7} images {row['seconds']:7.1f} s {row['cpu']:7.1f} s CPU", flush=True)
    return row


def timed(step: Step, folder: Path) -> dict[str, float]:
    """Of one step, in this process, which does nothing else."""
    for module in step.imports:
        importlib.import_module(module)
    began, before = time.monotonic(), cpu_seconds()
    step.work(folder)
    seconds, cpu = time.monotonic() - began, cpu_seconds() - before
    # not ru_maxrss, which a process inherits from the one that started it
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"seconds": seconds, "cpu": cpu, "process": int(status["VmHWM"].split()[0]) / 2**10}


def cpu_seconds() -> float:
    """Of this process and of the workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def resident(process: int) -> int:
    """Bytes that the workers of a process hold, those that they share counted for each."""
    total = 0
    try:
        for child in psutil.Process(process).children(recursive=True):
            total += child.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def write_full_size(folder: Path) -> None:
    """An annotation file as large as train2017's, of random polygons, and an empty file for each image."""
    images, count = FULL
    chosen = random.Random(0)
    polygons = [
        [round(chosen.uniform(0, 640), 2) for _ in range(2 * chosen.randint(4, 46))] for _ in range(1000)
    ]
    (folder / "annotations").mkdir(parents=True)
    (folder / "train2017").mkdir()
    with open(folder / "annotations" / "instances_train2017.json", "w") as file:
        file.write('{"images": [')
        for number in range(images):
            name = f"{number:012d}.jpg"
            (folder / "train2017" / name).touch()
            image = {"id": number, "file_name": name, "height": 480, "width": 640}
            file.write((", " if number else "") + json.dumps(image))
        file.write('], "annotations": [')
        texts = [json.dumps([polygon]) for polygon in polygons]
        for number in range(count):
            file.write(
                f"{', ' if number else ''}"
                f'{{"segmentation": {chosen.choice(texts)}, "area": 702.1057499999998, "iscrowd": 0, '
                f'"image_id": {chosen.randrange(images)}, "bbox": [473.07, 395.93, 38.65, 28.67], '
                f'"category_id": 18, "id": {number + 1}}}'
            )
        file.write("]}")


def measure(folder: Path, sizes: Sequence[int]) -> pd.DataFrame:
    """Every step at every size; each size's data is removed before the next."""
    from sgr.generated.generate import generate

    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            data = Path(name)
            print(f"generating {size} images", flush=True)
            generate(LABELLED, data / LABELLED, {"train": size - 8, "test": 8}, PIXELS, 0)
            generate(DETECTION, data / DETECTION, {"train2017": size - 8, "val2017": 8}, PIXELS, 0)
            rows += [measured(step, data, size) for step in STEPS]
    with tempfile.TemporaryDirectory(dir=folder) as name:
        generate(LABELLED, Path(name) / LABELLED, {"train": LARGE - 8, "test": 8}, LARGE_PIXELS, 0)
        large = [measured(step, Path(name), LARGE) for step in LARGE_STEPS]
        rows += [row | {"step": f"{row['step']}, 480 x 640"} for row in large]
    with tempfile.TemporaryDirectory(dir=folder) as name:
        write_full_size(Path(name))
        rows += [measured(step, Path(name), FULL[0]) for step in FULL_STEPS]
    return pd.DataFrame(rows)


# What is written


def markdown(frame: pd.DataFrame, commit: str) -> str:
    """docs/scale.md."""
    cpu = {(row.step, row.images): row.cpu for row in frame.itertuples()}
    against = {step.title: step.against for step in STEPS if step.against}
    against |= {f"{step}, 480 x 640": f"{decoding}, 480 x 640" for step, decoding in against.items()}
    lines = []
    for row in frame.itertuples():
        decoding = cpu.get((against.get(row.step), row.images))
        lines.append(
            {
                "step": row.step,
                "images": f"{row.images:,}",
                "seconds": f"{row.seconds:.1f}",
                "images/s": f"{row.images / row.seconds:,.0f}",
                "CPU ms an image": f"{1000 * row.cpu / row.images:.2f}",
                "CPU ÷ decoding": f"{row.cpu / decoding:.2f}" if decoding else "",
                "process MB": f"{row.process:.0f}",
                "workers MB": f"{row.workers:.0f}" if row.workers else "",
            }
        )
    table = pd.DataFrame(lines).to_markdown(
        index=False, disable_numparse=True, colalign=["left", *["right"] * 7]
    )
    return f"""# Scale

Made by `python -m bench.scale` at commit {commit}, on {os.cpu_count()} cores that had other work as well: seconds and
images/s suffer from that, CPU time less. Generated images of {PIXELS[0]} x {PIXELS[1]} pixels, up to a quarter more
a side; the last lines have images of 480 x 640, and an annotation file as large as that of train2017
({FULL[0]:,} images, {FULL[1]:,} annotations). *CPU ÷ decoding* compares with plain decoding of the same samples by the
same workers: of images and label maps, as training reads them; components read the label
maps alone, which are decoded faster.
*evaluation* is the job with a network that costs nothing: what is left is mostly the way from the loader's processes,
and 700 MB of its memory are libraries. Memory is the peak, of the process itself and of its workers together (what they
share counts for each).

![CPU time and memory against the number of images](scale.png)

{table}
"""


def draw(frame: pd.DataFrame, path: Path) -> None:
    """CPU seconds and peak memory of each step against the number of images."""
    from matplotlib.figure import Figure

    from sgr.report import style

    with style.drawing():
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        shown = [step.title for step in STEPS if not step.title.startswith("decoding")]
        for number, title in enumerate(shown):
            rows = frame[frame.step == title].sort_values("images")
            look = style.row_style(number) | {"marker": "o", "markersize": 3, "label": title}
            left.plot(rows.images, rows.cpu, **look)
            right.plot(rows.images, rows.process, **look)
        right.axhline(1024, color="black", linewidth=0.8, linestyle="dotted")
        right.text(0, 1000, "1 GB", va="top")
        left.set(xlabel="images", ylabel="CPU seconds", xlim=0, ylim=0)
        right.set(xlabel="images", ylabel="peak memory of the process, MB", xlim=0, ylim=0)
        left.legend()
        style.write_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of images")
    parser.add_argument("--folder", type=Path, help="for the generated data, some 600 MB")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--step", help="measure one step on the data of --folder")
    arguments = parser.parse_args()
    if arguments.step:
        (step,) = (step for step in (*STEPS, *FULL_STEPS) if step.title == arguments.step)
        return print(json.dumps(timed(step, arguments.folder)))
    git = ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    frame = measure(arguments.folder, arguments.sizes)
    write_bytes(arguments.out / "scale.md", markdown(frame, commit).encode())
    draw(frame, arguments.out / "scale.png")


if __name__ == "__main__":
    main()
