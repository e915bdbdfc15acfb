"""`python -m sgr adopt` where code was edited: a refactoring is adopted, a change of a constant is not."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sgr.files import read_json
from sgr.kinds import TRAIN
from tests import scratch

ROW = "camvid-fcn-sgr"
ITERATIONS = 12
CHANGES = {
    "profiles.mini.training.iterations": ITERATIONS,
    "profiles.mini.training.warmup": 2,
    "profiles.mini.generated.images": {"train": 8, "test": 2},
    f"rows.{ROW}.training": {"iterations": ITERATIONS},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which the row has been trained by its stages."""
    root = scratch.copy_checkout(tmp_path_factory.mktemp("trained") / "copy")
    scratch.write_parameters(root, CHANGES)
    well(root, "sgr", "pipeline")  # a row of its own schedule stands in no figure of predictions
    well(root, "stages.plan")
    well(root, "stages.download", "mini", "camvid")
    well(root, "stages.components", "mini", "camvid")
    well(root, "stages.train", "mini", ROW)
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """A copy of that."""
    return shutil.copytree(trained, tmp_path / "copy")


def well(root: Path, module: str, *arguments: str) -> str:
    """Run a module to a good end and return what it printed."""
    done = scratch.run(root, sys.executable, "-m", module, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def adopt(root: Path, *rows: str) -> subprocess.CompletedProcess[str]:
    return scratch.run(root, sys.executable, "-m", "sgr", "adopt", *(rows or (ROW,)))


def key_of(root: Path, kind: str) -> str:
    """The content key of a job of the row, as the plan is now."""
    well(root, "stages.plan")
    program = f"from sgr.plan.jobs import jobs_of; print(jobs_of({kind!r}, 'mini', {ROW!r})[0].key)"
    done = scratch.run(root, sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def jobs(root: Path) -> list[str]:
    """Keys of the jobs that have finished."""
    return sorted(path.parent.name for path in root.glob("jobs/*/done.json"))


def edit(root: Path, file: str, former: str, later: str) -> None:
    """Replace a text that stands once in a file."""
    source = (root / file).read_text()
    assert source.count(former) == 1, f"{file} has {former!r} {source.count(former)} times"
    (root / file).write_text(source.replace(former, later))


def rename(root: Path, file: str, function: str, former: str, later: str) -> None:
    """Give a local variable of a function another name."""
    lines = (root / file).read_text().splitlines(keepends=True)
    node = functions(root / file)[function]
    body = slice(node.lineno - 1, node.end_lineno)
    text, count = re.subn(rf"(?<![\w.]){former}(?!\w)(?!=)", later, "".join(lines[body]))
    assert count > 1
    (root / file).write_text("".join([*lines[: body.start], text, *lines[body.stop :]]))


def swap(root: Path, file: str, first: str, second: str) -> None:
    """Exchange the places of two functions of a file."""
    lines = (root / file).read_text().splitlines(keepends=True)
    found = functions(root / file)
    one, other = (slice(found[name].lineno - 1, found[name].end_lineno) for name in (first, second))
    swapped = [*lines[other], *lines[one.stop : other.start], *lines[one]]
    (root / file).write_text("".join([*lines[: one.start], *swapped, *lines[other.stop :]]))


def functions(file: Path) -> dict[str, ast.FunctionDef]:
    """Those of a file, methods too, by name."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}


def test_refactoring_is_adopted(root: Path) -> None:
    """And again after the next one; the stage takes the result without training, and what follows stays."""
    (first,) = jobs(root)
    of_evaluation = key_of(root, "evaluate")
    left = scratch.files_under(root / "work" / "mini" / "train" / ROW)
    rename(root, "sgr/losses.py", "terms", "masks", "of_components")
    swap(root, "sgr/training/optimizer.py", "build_optimizer", "polynomial")
    second = check_adopted(root, first, first, ["sgr/losses.py", "sgr/training/optimizer.py"])

    # DVC's stages, on the new plan
    assert key_of(root, "train") == second and key_of(root, "evaluate") == of_evaluation
    shutil.rmtree(root / "work" / "mini" / "train" / ROW)
    well(root, "stages.train", "mini", ROW)
    assert scratch.files_under(root / "work" / "mini" / "train" / ROW) == left
    assert read_json(root / "work" / "mini" / "train" / ROW / "0" / "job.json") == {"identity": first}
    assert not (root / "jobs" / second / "attempts.txt").exists(), "trained"
    provenance = read_json(root / "results" / "provenance" / "mini" / f"{ROW}.train.json")
    assert provenance["0"]["adopted"]["from"] == first

    rename(root, "sgr/training/loop.py", "step", "parts", "pieces")
    third = check_adopted(root, first, second, ["sgr/training/loop.py"])
    assert key_of(root, "train") == third and key_of(root, "evaluate") == of_evaluation
    assert jobs(root) == sorted([first, second, third])


def check_adopted(root: Path, origin: str, former: str, changed: list[str]) -> str:
    """Adopt the row from the key `former`; returns the new key."""
    known, before = jobs(root), scratch.files_under(root / "jobs" / former)
    done = adopt(root)
    assert done.returncode == 0, done.stdout + done.stderr
    (new,) = set(jobs(root)) - set(known)
    assert done.stdout.startswith(f"{ROW} seed 0: adopted {former} as {new}: ")
    assert done.stdout.rstrip().endswith(f"after iterations 1, 2, 5; changed: {', '.join(changed)}")
    old, later = root / "jobs" / former, root / "jobs" / new
    assert scratch.files_under(old) == before
    assert all((old / name).read_bytes() == (later / name).read_bytes() for name in TRAIN.artefacts)
    record = read_json(later / "provenance.json")["adopted"]
    assert (record["origin"], record["from"], record["sources"]) == (origin, former, changed)
    assert record["iterations"] == [1, 2, 5] and "concept_dice" in record["losses"]
    again = adopt(root)
    assert again.stdout == f"{ROW} seed 0: nothing to adopt, it has finished with today's code\n"
    assert again.returncode == 0
    return new


@pytest.mark.parametrize(
    "file, former, later, said",
    [
        # MaskFormer's smoothing
        (
            "sgr/losses.py",
            "return 1 - (2 * (union * masks).sum(-1) + 1)",
            "return 1 - (2 * (union * masks).sum(-1) + 2)",
            "iteration 1: loss concept_dice differs",
        ),
        # the prior of the concept regions
        ("sgr/unit.py", "(1 - concept_prior)))", "(1.5 - concept_prior)))", "iteration 1: loss concept_"),
        # of SGD: the first loss is the same, what it does to the parameters is not
        ("sgr/training/optimizer.py", "(iteration + 1) /", "(iteration + 1.5) /", "iteration 1: tensor "),
        # nothing before the second iteration
        (
            "sgr/training/optimizer.py",
            "iterations) ** power\n\n",
            "(iterations + 1)) ** power\n\n",
            "iteration 2: ",
        ),
    ],
)
def test_change_of_a_constant_is_refused(root: Path, file: str, former: str, later: str, said: str) -> None:
    """It is said where the two part, and all is as it was."""
    (key,) = jobs(root)
    edit(root, file, former, later)
    before = scratch.files_under(root / "jobs") | scratch.files_under(root / "work")
    done = adopt(root)
    assert done.returncode == 1
    beginning = f"{ROW} seed 0: not adopted: {key}: it does not train the same: "
    assert done.stdout.startswith(beginning) and done.stdout.count("\n") == 1
    found = done.stdout.removeprefix(beginning).rstrip()
    assert found.startswith(said) and found.endswith(" differs")
    assert scratch.files_under(root / "jobs") | scratch.files_under(root / "work") == before


def test_what_cannot_be_adopted(root: Path) -> None:
    """An unknown row, and rows that were never trained or have no data: a sentence each, and the others are tried."""
    done = adopt(root, ROW, "camvid-fnc")
    assert done.returncode == 2 and done.stdout == ""
    assert "there is no row 'camvid-fnc', the rows are " in done.stderr and done.stderr.count("\n") == 1
    done = adopt(root, "ade20k-fcn", "camvid-fcn", ROW)
    assert done.returncode == 1 and done.stderr.count("Traceback") == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ade20k-fcn: not adopted: ") and "ade20k.json is missing" in lines[0]
    assert lines[1].startswith(
        "camvid-fcn seed 0: not adopted: no finished training has its settings, inputs"
    )
    assert lines[2] == f"{ROW} seed 0: nothing to adopt, it has finished with today's code"
