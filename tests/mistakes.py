"""Mistakes that a user can make, each made for real in a scratch copy, and docs/mistakes.md: what each prints.

`python -m tests.mistakes` writes the page anew; tests/test_mistakes.py checks it.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import re
import runpy
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from PIL import Image

from sgr.datasets import Scene, camvid
from tests.scratch import ROOT, commit, copy_checkout, run, write_parameters

PAGE = ROOT / "docs/mistakes.md"
ROWS, MINI = "params/rows.yaml", "params/profiles/mini.yaml"
Harm = Callable[[Path], object]


class Mistake(NamedTuple):
    """What is wrong, and how it comes about.

    harm: what is done to the scratch copy, given its folder, before the command runs there; `process`: the command is a
    program of its own, and not one of Python's modules, which run here.
    """

    what: str
    command: str
    harm: Harm = lambda root: None
    variables: Mapping[str, str] = {}
    process: bool = False
    status: int = 2


class Told(NamedTuple):
    """How the command ended: status, what it said on stderr, and files that it made, changed or removed."""

    status: int
    said: str
    touched: set[str]


def says(text: str, in_file: str = "cluster.yaml") -> Harm:
    """A file of this text."""

    def harm(root: Path) -> None:
        (root / in_file).parent.mkdir(parents=True, exist_ok=True)
        (root / in_file).write_text(text)

    return harm


def edit(name: str, old: str, new: str) -> Harm:
    """Another text in the place of one that stands in a file."""

    def harm(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text, (name, old)
        (root / name).write_text(text.replace(old, new, 1))

    return harm


def row(name: str, text: str = "{dataset: camvid, family: fcn, backbone: resnet101}") -> Harm:
    """One more row."""
    return edit(ROWS, "\nrows:\n", f"\nrows:\n  {name}: {text}\n")


def plan(what: str, harm: Harm | Mapping[str, Any]) -> Mistake:
    """A mistake that the stage plan finds: parameters by key, or another harm."""
    return Mistake(what, "stages.plan", values(harm) if isinstance(harm, Mapping) else harm)


def values(changes: Mapping[str, Any]) -> Harm:
    """Other parameters, by key."""
    return lambda root: write_parameters(root, changes)


def here(what: str, text: str) -> Mistake:
    """A mistake in cluster.yaml."""
    return Mistake(what, "stages.weights small resnet101", says(text))


def picture(what: str, name: str, harm: Harm) -> Mistake:
    """A mistake in a file of CamVid."""
    return Mistake(
        what,
        "stages.download small camvid",
        lambda root: harm(root / "images/camvid" / name),
        {"SGR_DATA": "images"},
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_label(path: Path) -> None:
    label = np.array(Image.open(path))
    label[3, 4] = 77
    Image.fromarray(label).save(path)


def other_size(path: Path) -> None:
    Image.fromarray(np.zeros((40, 51), dtype=np.uint8)).save(path)


def downloaded(root: Path) -> None:
    """The manifest is written, and then a label map changes."""
    assert _run_here("stages.download small camvid", root, {"SGR_DATA": "images"})[0] == 0
    cut(root / "images/camvid/trainannot/0001TP_000001.png")


def part(root: Path) -> None:
    """The plan asks for the whole dataset again."""
    planned(root, "small")


def planned(root: Path, profile: str, changes: Mapping[str, Any] | None = None) -> None:
    write_parameters(root, {"profile": profile, **(changes or {})})
    assert _run_here("stages.plan", root, {})[0] == 0


def resaved(**options: Any) -> Callable[[Path], None]:
    """The same picture, saved otherwise: in another `mode`, `format` or `bits`, or turned by its EXIF tag."""

    def harm(path: Path) -> None:
        picture = Image.open(path).copy()
        if options.get("bits") == 16:
            picture = Image.fromarray(np.array(picture.convert("L")).astype(np.uint16) * 257)
        exif = Image.Exif()
        if turned := options.get("orientation"):
            exif[0x0112] = turned
        picture = picture.convert(options["mode"]) if "mode" in options else picture
        picture.save(path, options.get("format", "PNG"), exif=exif)

    return harm


def unplanned(root: Path) -> None:
    """What DVC would remove before it runs the stage is not there yet."""
    write_parameters(root, {"sgr.K": 0})
    shutil.rmtree(root / "work/mini/plan")


def weights_of(trained: str) -> Harm:
    """A file in the place of the weights of a row."""
    return says("no weights", f"work/mini/train/{trained}/0/model.safetensors")


PART = 2  # images of each split of CamVid that the copy has
WEIGHTS = "resnet101-63fe2227.pth"

MISTAKES: dict[str, list[Mistake]] = {
    "Files of parameters": [
        plan("no YAML", edit("params.yaml", "sgr:\n", "sgr: [\n")),
        plan("not UTF-8", lambda root: (root / "params.yaml").write_bytes(b"profile: \xff\n")),
        plan("a list", says("- profile\n", "params.yaml")),
        plan("empty", says("", "params.yaml")),
        plan("missing", lambda root: (root / "params.yaml").unlink()),
        plan("a profile's file is empty", says("", MINI)),
        plan("a key twice in params.yaml", edit("params.yaml", "  heads:\n", "  heads: 4\n  K: 8\n")),
        plan("a row twice", row("camvid-fcn")),
        plan(
            "a key twice in a profile", edit(MINI, "pretrained: false\n", "pretrained: false\nthreads: 2\n")
        ),
        plan("a section in two files", edit("params.yaml", "sgr:\n", "glore: {K: 8}\nsgr:\n")),
        plan("an unknown section", {"colour": 1}),
        plan("an unknown key", {"sgr.k": 64}),
        plan("an unknown key of a row", {"rows.camvid-fcn.head": "x"}),
        plan("a key left out", {"profiles.mini.training.crop": ...}),
        plan("a section left out", {"components": ...}),
        plan("a section that is empty", {"sgr": None}),
    ],
    "Names": [
        plan("a row that holds a command", row("x$(touch PWNED)")),
        Mistake("the same, when pipelines are written", "sgr pipeline", row("x$(touch PWNED)")),
        plan("a row that leaves the folder", row("../../tmp/evil")),
        plan("a row without a name", row("''")),
        plan("a row with a space", row("my row")),
        plan("a row in capitals", row("CamVid-FCN")),
        plan("a row whose name is a number", row("7")),
        plan("a row with a name too long for a file", row("a" * 101)),
        plan("a row called like a stage", row("train")),
        plan("a row called like a dataset", row("camvid")),
        plan(
            "a row called like a backbone",
            row("resnet101", "{dataset: camvid, family: fcn, backbone: resnet101}"),
        ),
        plan("two rows of one name", edit(ROWS, "  coco-imagenet:\n", "  camvid-fcn:\n")),
        plan("a profile's file with a space", says("data: folder\n", "params/profiles/my profile.yaml")),
        plan("a dataset of two words", edit(ROWS, "  camvid: {", "  cam vid: {")),
        plan("a backbone that holds a command", edit(ROWS, "backbone: resnet101", "backbone: $(id)")),
    ],
    "What parameters name": [
        plan("a profile that is not there", {"profile": "huge"}),
        plan("a dataset that is not there", {"rows.camvid-fcn.dataset": "camvit"}),
        plan(
            "a dataset that nothing describes",
            {"datasets.voc": {"train": "train", "evaluate": ["val"], "semantics": "val", "jitter": 0.0}},
        ),
        plan("a split that the dataset does not have", {"datasets.camvid.evaluate": ["val", "minival"]}),
        plan("a split twice", {"datasets.camvid.evaluate": ["val", "val"]}),
        plan("the training split evaluated", {"datasets.camvid.evaluate": ["train", "val"]}),
        plan("a split of Table 3 that is not there", {"detection.evaluate": "val"}),
        plan("a framework that is not there", {"rows.camvid-fcn.family": "fnc"}),
        plan("a backbone that is not there", {"rows.camvid-fcn.backbone": "resnet5"}),
        plan("a backbone that a profile does not know", {"profiles.mini.backbones.swin_t": "swim"}),
        plan(
            "a dataset of a profile that is not there", {"profiles.paper.datasets.camvit": {"iterations": 5}}
        ),
        plan("a sweep of a row without SGR", {"sweep.row": "camvid-fcn"}),
        plan("Table 3 from a row that is not there", {"transfer.coco-sgr.start": "train/nosuch"}),
        plan("Table 3 from something else", {"transfer.coco-sgr.start": "evaluate/camvid-fcn"}),
        plan("prototypes for a framework without", {"rows.camvid-fcn.prototypes": True}),
        plan("instances of a row without regions", {"rows.camvid-fcn.instances": True}),
    ],
    "Values": [
        plan("zero", {"sgr.K": 0}),
        plan("negative", {"sgr.beta": -1.0}),
        plan("a digit too many", {"sgr.K": 51200}),
        plan("text for a number", {"sgr.K": "many"}),
        plan("a number in quotes", {"sgr.K": "64"}),
        plan("true for a number", {"sgr.K": True}),
        plan("1.0 for a whole number", {"sgr.K": 64.0}),
        plan("yes, a word in YAML 1.2", edit("params.yaml", "xy_embedding: true", "xy_embedding: yes")),
        plan("12:30:00, a word in YAML 1.2", edit("params.yaml", "  D:", "  D: 12:30:00")),
        plan("infinity", edit("params.yaml", "rho: 1.0", "rho: .inf")),
        plan("no such choice", {"sgr.reasoning": "mlp"}),
        plan("a probability of 1", {"sgr.concept_prior": 1.0}),
        plan("a seed below 0", {"profiles.mini.seeds": [-1]}),
        plan("a seed beyond 32 bits", {"profiles.mini.seeds": [2**32]}),
        plan("a seed twice", {"profiles.mini.seeds": [0, 0]}),
        plan("no seed", {"profiles.mini.seeds": []}),
        plan("a number for a list", {"profiles.mini.seeds": 3}),
        plan("no thread", {"profiles.mini.threads": 0}),
        plan("more threads than any machine has", {"profiles.mini.threads": 1000}),
        plan("a crop of one side", {"profiles.mini.training.crop": [96]}),
        plan("a scale of no image", {"profiles.mini.inference.scales": [0.0]}),
        plan("a scale twice", {"profiles.mini.inference.scales": [1.0, 1.0]}),
        plan("scales that fall", {"augmentation.scale": [2.0, 0.5]}),
        plan("jitter above 1", {"datasets.camvid.jitter": 1.5}),
        plan("a stride that no backbone has", {"profiles.mini.families.fcn.stride": 12}),
        plan("milestones behind the end", {"profiles.mini.detection.training.milestones": [80, 220]}),
        plan("images larger than their limit", {"profiles.mini.detection.min_sizes": [500]}),
    ],
    "Values that clash": [
        plan("L above K", {"sgr.K": 8, "sgr.L": 9}),
        plan("a row's K below its profile's L", {"rows.camvid-fcn-sgr.sgr": {"K": 4}}),
        plan("heads that do not divide the width of SGR", {"rows.camvid-fcn-sgr.sgr": {"D": 64, "heads": 5}}),
        plan("heads that do not divide the width of a head", {"profiles.mini.families.maskformer.heads": 5}),
        plan(
            "parts that do not divide the batch",
            {"rows.camvid-fcn.training": {"batch_size": 8, "accumulate": 3}},
        ),
        plan("one image at a time for pooled maps", {"profiles.mini.training.accumulate": 4}),
        plan("a crop below the stride", {"rows.ade20k-upernet.training": {"crop": [8, 96]}}),
        plan("a warm-up as long as the training", {"rows.camvid-fcn.training": {"iterations": 5}}),
        plan("the same in a profile that is not chosen", {"profiles.small.training.warmup": 540}),
        plan("HRNet at another stride", {"profiles.mini.families.hrnet.stride": 16}),
        plan("a sweep without a pair", {"profiles.mini.sweep": {"K": [8], "L": [16]}}),
        plan("generated data without sizes", {"profiles.mini.generated": ...}),
    ],
    "Pipelines": [
        plan("a new row without its stages", row("camvid-new")),
        plan("a row removed, its stages left", {"rows.camvid-fcn-glore": ...}),
        plan("stages edited by hand", edit("stages/camvid/camvid-fcn/dvc.yaml", "python -m", "python3 -m")),
        plan("code that is no Python", edit("sgr/unit.py", "class SGR", "clas SGR")),
    ],
    "cluster.yaml": [
        here("no YAML", "slurm: [\n"),
        here("a list", "- slurm\n"),
        here("an unknown key", "gpus: 2\n"),
        here("a misspelt key", "slurm: {partitoin: gpu}\n"),
        here("a key twice", "executor: local\nexecutor: slurm\n"),
        here("no such executor", "executor: pbs\n"),
        here("a number in quotes", "max_jobs: '3'\n"),
        here("true for a number", "slurm: {cpus: true}\n"),
        here("infinity", "checkpoint_seconds: .inf\n"),
        here("an empty folder", "jobs: ''\n"),
        here("a number for a folder", "data: 5\n"),
        here("a dataset that is not there", "data: {camvit: /datasets/CamVid}\n"),
        here("no time", "slurm: {time: a day}\n"),
        here("too short a time", "slurm: {time: 10}\n"),
        here("a partition of two words", "slurm: {partition: gpu long}\n"),
        here("nodes that do not divide the GPUs", "slurm: {gpus_per_job: 4, nodes: 3}\n"),
        here("processes beside GPUs", "slurm: {gpus_per_job: 2, processes: 4}\n"),
        here("no section", "slurm:\n"),
    ],
    "Environment": [
        Mistake("no such executor", "stages.weights small resnet101", variables={"SGR_EXECUTOR": "pbs"}),
        Mistake("no number", "stages.weights small resnet101", variables={"SGR_MAX_JOBS": "many"}),
        Mistake("below the least", "stages.weights small resnet101", variables={"SGR_LOADER_WORKERS": "-1"}),
        Mistake(
            "a stage outside the virtual environment",
            "python -S -m stages.train mini camvid-fcn",
            process=True,
        ),
        Mistake("a command outside the virtual environment", "python -S -m sgr jobs", process=True),
    ],
    "Datasets": [
        Mistake("the folder is not there", "stages.download small camvid", variables={"SGR_DATA": "nowhere"}),
        Mistake(
            "a mirror without the archive", "stages.download small camvid", variables={"SGR_MIRROR": "sgr"}
        ),
        Mistake(
            "a mirror that is not there", "stages.download small camvid", variables={"SGR_MIRROR": "nowhere"}
        ),
        Mistake(
            "an archive that is no ZIP",
            "stages.download small camvid",
            says("<html>", f"images/{camvid.ARCHIVE.name}"),
            {"SGR_MIRROR": "images"},
        ),
        picture("a folder of a split is missing", "valannot", shutil.rmtree),
        picture("a label outside the classes", "trainannot/0001TP_000001.png", other_label),
        picture("an image and its labels differ in size", "valannot/0001TP_000000.png", other_size),
        picture("a truncated image", "train/0001TP_000001.png", cut),
        picture("an image of 16 bits", "train/0001TP_000001.png", resaved(bits=16)),
        picture("an image with transparency", "train/0001TP_000001.png", resaved(mode="RGBA")),
        picture("an image of a palette", "train/0001TP_000001.png", resaved(mode="P")),
        picture("an image that its EXIF tag turns", "train/0001TP_000001.png", resaved(orientation=6)),
        picture("an image that is a BMP file", "train/0001TP_000001.png", resaved(format="BMP")),
        picture("labels as colours", "trainannot/0001TP_000001.png", resaved(mode="RGB")),
        picture("labels that JPEG has blurred", "trainannot/0001TP_000001.png", resaved(format="JPEG")),
        Mistake("a part of a dataset", "stages.download small camvid", part, {"SGR_DATA": "images"}),
        picture("fewer images than `subset` asks for", "valannot/0001TP_000001.png", Path.unlink),
        plan("`subset` of a dataset that is not there", {"profiles.small.subset": {"camvit": 2}}),
        plan("`subset` of generated images", {"profiles.mini.subset": {"camvid": 2}}),
        Mistake(
            "a mirror's address with an unwritten /",
            "stages.download small camvid",
            variables={"SGR_MIRROR": "https://user:pass/word@example.org"},
        ),
        picture("a truncated label map", "testannot/0001TP_000000.png", cut),
        picture("an empty image", "train/0001TP_000000.png", lambda path: path.write_bytes(b"")),
        Mistake(
            "a label map that changed after the download",
            "stages.components small camvid",
            downloaded,
            {"SGR_DATA": "images"},
        ),
    ],
    "Weights": [
        Mistake("no folder is named", "stages.weights paper resnet101"),
        Mistake(
            "the folder does not hold them",
            "stages.weights paper resnet101",
            variables={"SGR_WEIGHTS": "images"},
        ),
        Mistake(
            "another checksum",
            "stages.weights paper resnet101",
            says("half a download", f"images/{WEIGHTS}"),
            {"SGR_WEIGHTS": "images"},
        ),
    ],
    "Arguments of commands": [
        Mistake("no row of that name", "stages.train mini nosuch"),
        Mistake("a row that leaves the folder", "stages.train mini ../../x"),
        Mistake("a row without a name", "stages.train mini ''"),
        Mistake("no profile of that name", "stages.train huge camvid-fcn"),
        Mistake("semantics of a row without regions", "stages.semantics mini camvid-fcn"),
        Mistake("no dataset of that name", "stages.download mini camvit"),
        Mistake("no table of that name", "stages.table mini table9"),
        Mistake("an input that is not made yet", "stages.train mini camvid-fcn"),
        Mistake("no command of that name", "sgr sumbit"),
        Mistake("no option of that name", "sgr jobs --every"),
        Mistake("a target that is not there", "sgr repro camvid-fnc"),
        Mistake("a target that leaves the folder", "sgr submit ../../tmp/evil"),
        Mistake("a target that holds a command", "sgr dry-run 'x$(touch PWNED)'"),
        Mistake("no speed", "sgr dry-run --tflops 0"),
        Mistake("no profile of that name", "sgr dry-run --profile huge"),
        Mistake("a row without jobs", "sgr cancel nosuch"),
        Mistake("the job store is a file", "sgr jobs", variables={"SGR_JOBS": "params.yaml"}),
        Mistake("the job store takes no files", "sgr submit --here plan", variables={"SGR_JOBS": "/proc"}),
        Mistake("no row", "sgr cancel"),
        Mistake("a row to adopt that is not there", "sgr adopt nosuch"),
        Mistake("a dataset to check that is not there", "sgr data-check camvit"),
        Mistake("a prediction of a row that is not there", "sgr predict nosuch photo.jpg"),
        Mistake("a prediction of a row that is not trained", "sgr predict camvid-fcn photo.jpg"),
        Mistake("a prediction by a detector", "sgr predict coco-sgr photo.jpg"),
        Mistake("a prediction of no photograph", "sgr predict camvid-fcn"),
        Mistake(
            "a photograph that is not there", "sgr predict camvid-fcn photo.jpg", weights_of("camvid-fcn")
        ),
        Mistake("a photograph that is none", "sgr predict camvid-fcn params.yaml", weights_of("camvid-fcn")),
        Mistake("a folder without photographs", "sgr predict camvid-fcn params", weights_of("camvid-fcn")),
        Mistake(
            "a pattern that nothing matches", "sgr predict camvid-fcn 'p*.jpg'", weights_of("camvid-fcn")
        ),
        Mistake("photographs of no size", "sgr predict camvid-fcn photo.jpg --longest 0"),
        Mistake("an export of a row that is not trained", "sgr export camvid-fcn"),
        Mistake("an export of weights that are none", "sgr export camvid-fcn", weights_of("camvid-fcn")),
        Mistake("an export of a seed that the row does not have", "sgr export camvid-fcn --seed 7"),
        Mistake("an export of a profile that is not there", "sgr export camvid-fcn --profile huge"),
    ],
    "DVC": [
        Mistake("a value that `plan` refuses", "dvc repro plan", unplanned, process=True, status=255),
        Mistake("a misspelt key behind -S", "dvc exp run -S sgr.k=64 plan", process=True, status=255),
    ],
}


class World:
    """A scratch copy with a plan of every profile and a small CamVid in images/, mended after every mistake."""

    def __init__(self, folder: Path) -> None:
        self.root, self.whole = folder / "copy", folder / "whole"
        copy_checkout(self.root)
        rng = np.random.default_rng(0)
        for split in ("train", "val", "test"):
            for number in range(PART):
                image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
                label = rng.integers(0, 11, (40, 50), dtype=np.uint8)
                camvid.write(self.root / "images/camvid", split, number, Scene(image, label, label))
        commit(self.root)
        planned(self.root, "small", {"profiles.small.subset": {"camvid": PART}})
        for profile in ("paper", "mini"):
            planned(self.root, profile)
        # as they are written here, comments and all
        for name in ("params.yaml", "params"):
            shutil.copytree(
                ROOT / name, self.root / name, dirs_exist_ok=True
            ) if name == "params" else shutil.copy(ROOT / name, self.root / name)
        shutil.copytree(self.root, self.whole, symlinks=True)
        self.files = _listed(self.root)

    def make(self, mistake: Mistake) -> Told:
        """Make the mistake, run its command, and mend the copy."""
        try:
            mistake.harm(self.root)
            before = _listed(self.root)
            status, said = (_run_apart if mistake.process else _run_here)(
                mistake.command, self.root, mistake.variables
            )
            return Told(status, self.general(said), _differ(before, _listed(self.root)))
        finally:
            for name in _differ(self.files, _listed(self.root)):
                (self.root / name).unlink(missing_ok=True)
                if (self.whole / name).exists():
                    (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(self.whole / name, self.root / name)
            self.files = _listed(self.root)

    def general(self, said: str) -> str:
        """Without what differs from machine to machine, or is longer than a line of a table."""
        said = said.replace(str(self.root), "FOLDER").replace(sys.executable, "PYTHON")
        return re.sub(r"((?:the rows are|it knows) )[\w, -]{60,}", r"\1ROWS", said)


def page(world: World) -> str:
    """docs/mistakes.md."""
    lines = [HEAD]
    for subject, mistakes in MISTAKES.items():
        lines += [f"\n## {subject}\n", "| mistake | command | what it prints |", "|---|---|---|"]
        lines += [shown(mistake, world.make(mistake)) for mistake in mistakes]
    return "\n".join(lines) + "\n"


def shown(mistake: Mistake, told: Told) -> str:
    """A row of the page."""
    command = re.sub(r"^(?=stages|sgr)", "python -m ", mistake.command)
    variables = "".join(f"{name}={value} " for name, value in mistake.variables.items())
    cells = (mistake.what, f"`{variables}{command}`", told.said.replace("\n", " "))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


HEAD = """# Mistakes, and what they print

Written by `python -m tests.mistakes`, which makes each mistake in a scratch copy;
[a test](../tests/test_mistakes.py) makes them again and compares every word. Each ends with status 2 (DVC makes 255 of
it) before any work starts, without a traceback, and leaves no file behind. FOLDER is the project's folder, PYTHON the
interpreter, ROWS the names of the rows. What befalls a download is in [data.md](data.md), what befalls a job in
[faults.md](faults.md)."""


def _run_here(command: str, root: Path, variables: Mapping[str, str]) -> tuple[int, str]:
    """`python -m <command>` in this process: imports are what such a command takes its time for."""
    module, *arguments = shlex.split(command)
    said, before, thresholds = io.StringIO(), Path.cwd(), gc.get_threshold()
    own = {name: os.environ[name] for name in os.environ if not name.startswith("SGR_")}
    try:
        os.chdir(root)
        with (
            mock.patch.dict(os.environ, {**own, **variables}, clear=True),
            mock.patch.object(sys, "argv", [module, *arguments]),
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return int(ended.code or 0), said.getvalue().strip()
    finally:
        os.chdir(before)
        gc.set_threshold(*thresholds)
    return 0, said.getvalue().strip()


def _run_apart(command: str, root: Path, variables: Mapping[str, str]) -> tuple[int, str]:
    ended = run(root, *shlex.split(command), **variables)
    lines = (ended.stdout + ended.stderr).splitlines()
    # DVC says more, before and after
    return ended.returncode, next((line.strip() for line in lines if "error: " in line.lower()), "")


def _listed(root: Path) -> dict[str, tuple[int, int]]:
    """Files by path with size and time of their last change; of git's and DVC's own, locks and bytecode none."""
    found = {}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in (".git", ".dvc", "__pycache__")]
        for file in (file for file in files if not file.endswith(".lock")):
            about = os.stat(os.path.join(folder, file))
            found[os.path.relpath(os.path.join(folder, file), root)] = about.st_size, about.st_mtime_ns
    return found


def _differ(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> set[str]:
    return {name for name in before | after if before.get(name) != after.get(name)}


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page(World(Path(folder))))


if __name__ == "__main__":
    main()
