"""What makes a result stale: another meaning of what its job computes with, and nothing else.

Neither comments, docstrings and layout, nor a new dataset, head, backbone or row, nor a row's name.
"""

from __future__ import annotations

import ast
import csv
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from sgr.files import read_json
from sgr.plan.entries import Entries, entries
from sgr.plan.params import Params
from tests.rewrites import unparsed, with_comments, with_other_docstrings
from tests.scratch import (
    PROFILES,
    ROOT,
    ROWS,
    checked,
    commit,
    copy_checkout,
    copy_code,
    dvc,
    ran,
    run,
    stage,
)
from tests.test_datasets import DESCRIPTION, READER

# Edits of the code


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Params:
    return checked(tmp_path_factory.mktemp("params"))


@pytest.fixture(scope="module")
def planned(params: Params) -> Entries:
    return entries(params, ROOT)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of what the plan hashes, free to be edited."""
    return copy_code(tmp_path)


@pytest.mark.parametrize("rewrite", [unparsed, with_comments, with_other_docstrings])
def test_layout_comments_and_docstrings_of_every_file_touch_nothing(
    rewrite: Callable[[str], str], params: Params, planned: Entries, code: Path
) -> None:
    files = [*code.glob("sgr/**/*.py"), *code.glob("stages/*.py")]
    assert len(files) > 150
    for path in files:
        source = path.read_text()
        path.write_text(rewrite(source))
        assert path.read_text() != source, path
    assert entries(params, code) == planned


def test_formatting_of_every_file_touches_nothing(params: Params, planned: Entries, code: Path) -> None:
    style = "line-length = 60\nformat.quote-style = 'single'\nformat.skip-magic-trailing-comma = true"
    (code / "ruff.toml").write_text(style)
    formatted = subprocess.run(
        [Path(sys.executable).with_name("ruff"), "format", code], capture_output=True, text=True, check=True
    )
    assert int(re.findall(r"(\d+) files? reformatted", formatted.stdout)[0]) > 100
    assert entries(params, code) == planned


def test_an_operator_of_the_losses_touches_the_rows_with_a_concept_loss(
    params: Params, planned: Entries, code: Path
) -> None:
    """Their training; the sweep, which trains such a row; and the overhead, which measures a step of one."""
    path = code / "sgr/losses.py"
    tree = ast.parse(path.read_text())
    operators = [
        node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)
    ]
    operators[0].op = ast.Div()
    path.write_text(ast.unparse(tree))
    after = entries(params, code)
    supervised = {
        f"train/{name}" for name, row in params.rows.items() if row.unit == "sgr" and row.sgr.beta != 0
    }
    assert len(operators) > 5 and len(supervised) > 10
    changed = {key for key in planned if planned[key] != after[key]}
    assert changed == supervised | {f"sweep/{params.rows[params.sweep.row].dataset}", "overhead/all"}


# Additions


HEAD = '''"""One convolution, and a classifier."""

from torch import nn

from sgr.models.heads.pixels import OfLastMap, pixel_head


def head(channels, classes, *, width):
    return pixel_head(OfLastMap(nn.Conv2d(channels[-1], width, 1)), width, classes)
'''
RECIPE = """    "tinier_resnet": Recipe(
        "tinier ResNet", "convolutional", {"model": "resnet18", "channels": (8, 16, 32, 64), "stem_width": 8}
    ),
"""


def of_row(name: str, dataset: str, family: str, backbone: str, unit: str = "") -> tuple[str, str]:
    """A row of params/rows.yaml, and the line that it is written behind."""
    fields = {"dataset": dataset, "family": family, "backbone": backbone} | ({"unit": unit} if unit else {})
    return "rows:\n", f"  {name}:\n" + "".join(f"    {key}: {value}\n" for key, value in fields.items())


class Addition(NamedTuple):
    """What somebody adds, with a row of it.

    files: new ones. lines: of files that are there, each with the line that it is written behind. entries: that it
    adds. lacks: what `plan` says first that it has no stages of. gathered: entries of what gathers rows, this one too.
    titled: whether its title is a line of a registry, by which all tables and figures are drawn anew.
    """

    row: str
    files: dict[str, str]
    lines: dict[str, list[tuple[str, str]]]
    entries: set[str]
    lacks: str
    gathered: set[str]
    titled: bool = False


OF_GARDEN = {"table/table_garden", "figures/garden"}
OF_ALL = {"claims/all", "report/all"}  # they know the rows of every dataset
DRAWN = ("table/", "claims/", "figures/", "detection_figures/", "sweep/", "report/", "entrance/")
ADDITIONS = {
    "dataset": Addition(
        "garden-fcn-sgr",
        {"sgr/data/garden.py": READER, "sgr/datasets/garden.py": DESCRIPTION},
        {
            ROWS: [
                ("datasets:\n", "  garden: {train: train, evaluate: [val], semantics: val, jitter: 0.0}\n"),
                of_row("garden-fcn-sgr", "garden", "fcn", "resnet101", "sgr"),
            ]
        },
        OF_GARDEN
        | {"download/garden", "components/garden", "predictions/garden"}
        | {f"{kind}/garden-fcn-sgr" for kind in ("train", "evaluate", "semantics")},
        "dataset garden",
        OF_ALL | {"explain/all"},
    ),
    "row": Addition(
        "garden-fcn",
        {},
        {ROWS: [of_row("garden-fcn", "garden", "fcn", "resnet101")]},
        {"train/garden-fcn", "evaluate/garden-fcn"},
        "row garden-fcn",
        OF_GARDEN | OF_ALL | {"predictions/garden"},
    ),
    "head": Addition(
        "garden-linear",
        {"sgr/models/heads/linear.py": HEAD},
        {
            "sgr/models/families.py": [("FAMILIES = {\n", '    "linear": Family("Linear", _WIDTH),\n')],
            **{
                f"{PROFILES}/{name}.yaml": [("families:\n", "  linear: {stride: 8, width: 16}\n")]
                for name in ("mini", "small", "paper")
            },
            ROWS: [of_row("garden-linear", "garden", "linear", "resnet101")],
        },
        {"train/garden-linear", "evaluate/garden-linear"},
        "row garden-linear",
        OF_GARDEN | OF_ALL | {"overhead/all"},
        titled=True,
    ),
    "backbone": Addition(
        "garden-tinier",
        {},
        {
            "sgr/models/recipes.py": [("RECIPES = {\n", RECIPE)],
            ROWS: [of_row("garden-tinier", "garden", "fcn", "tinier_resnet")],
        },
        {"weights/tinier_resnet", "train/garden-tinier", "evaluate/garden-tinier"},
        "backbone tinier_resnet",
        OF_GARDEN | OF_ALL | {"overhead/all"},
        titled=True,
    ),
}

TINY = (
    *("generated.images.train=3", "generated.images.test=2", "generated.size=[48,64]"),
    *("training.iterations=3", "training.warmup=1", "training.batch_size=2", "training.crop=[32,32]"),
    *("sgr.K=8", "sgr.L=4", "sgr.D=16", "sgr.heads=2", "examples=1"),
)
PLANNED = ("mini", "paper")


class Step(NamedTuple):
    """The plan entries by profile before and after an addition; files and lines that somebody wrote for it."""

    before: dict[str, dict[str, Any]]
    after: dict[str, dict[str, Any]]
    files: int
    lines: int


class Grown(NamedTuple):
    """A copy of the checkout to which everything was added, one thing after the other."""

    root: Path
    steps: dict[str, Step]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    root = copy_checkout(tmp_path_factory.mktemp("staleness") / "copy")
    apply_overrides(root / PROFILES / "mini.yaml", [*TINY])
    commit(root)
    steps, before = {}, plans(root)
    for what, addition in ADDITIONS.items():
        add(root, addition)
        said = git(root, "diff", "--cached", "--numstat")
        counts = [line.split()[:2] for line in said.splitlines()]
        assert all(removed == "0" for _, removed in counts), said
        refused = stage(root, "plan")
        assert refused.returncode == 2
        assert f"the stages of {addition.lacks}: run `python -m sgr pipeline`" in refused.stderr
        written = succeeds(root, "-m", "sgr", "pipeline")
        assert f"stages/garden/{addition.row}/dvc.yaml\n" in written
        after = plans(root)
        steps[what] = Step(before, after, len(counts), sum(int(added) for added, _ in counts))
        git(root, "add", "--all")
        git(root, "commit", "--quiet", f"--message={what}")
        before = after
    return Grown(root, steps)


def add(root: Path, addition: Addition) -> None:
    """Write the files and lines, and let git see them."""
    for name, text in addition.files.items():
        (root / name).write_text(text)
    for name, lines in addition.lines.items():
        text = (root / name).read_text()
        for behind, line in lines:
            assert text.count(f"\n{behind}") == 1, (name, behind)
            text = text.replace(f"\n{behind}", f"\n{behind}{line}")
        (root / name).write_text(text)
    git(root, "add", "--all")


def plans(root: Path) -> dict[str, dict[str, Any]]:
    """The entries that the stage `plan` writes, by profile and `<stage>/<key>`."""
    found = {}
    for profile in reversed(PLANNED):
        apply_overrides(root / "params.yaml", [f"profile={profile}"])
        ended = stage(root, "plan")
        assert ended.returncode == 0, ended.stderr
        folder = root / "work" / profile / "plan"
        found[profile] = {
            path.relative_to(folder).with_suffix("").as_posix(): read_json(path)
            for path in folder.rglob("*.json")
        }
    return found


def git(root: Path, *arguments: str) -> str:
    ended = run(root, "git", *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def succeeds(root: Path, *arguments: str) -> str:
    """What a Python command says that ends well."""
    ended = run(root, sys.executable, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("profile", PLANNED)
@pytest.mark.parametrize("what", ADDITIONS)
def test_an_addition_touches_no_entry_of_another_row_dataset_or_backbone(
    what: str, profile: str, grown: Grown
) -> None:
    step, addition = grown.steps[what], ADDITIONS[what]
    before, after = step.before[profile], step.after[profile]
    assert after.keys() - before.keys() == addition.entries and before.keys() <= after.keys()
    changed = {key for key in before if before[key] != after[key]}
    drawn = {key for key in before if key.startswith(DRAWN)} if addition.titled else set()
    assert changed == addition.gathered | drawn
    assert all(before[key]["settings"] == after[key]["settings"] for key in drawn - addition.gathered)


def test_how_much_an_addition_is(grown: Grown) -> None:
    """A row of it included; what is added is what its own rows compute with, a line where it is named, and the row."""
    for what, step in grown.steps.items():
        name = what if what == "row" else f"{what} with a row of it"
        print(f"a new {name}: {step.files} files, {step.lines} lines, none removed")
    assert {what: step.files for what, step in grown.steps.items()} == {
        "dataset": 3,
        "row": 1,
        "head": 6,
        "backbone": 2,
    }
    assert grown.steps["row"].lines == 4


@pytest.fixture(scope="module")
def made(grown: Grown) -> Path:
    """The copy after DVC has made the table of the new dataset and its figures, with all that they need."""
    names = ran(dvc(grown.root, "repro", "table_garden", "figures_garden"))
    of_rows = {f"{path}:{name}@mini" for path, name in stages_of(grown.root)}
    assert (
        of_rows < {*names} and len(names) == len({*names}) == len(of_rows) + 4
    )  # plan, table, predictions, figures
    return grown.root


def stages_of(root: Path) -> Iterator[tuple[str, str]]:
    """The stages of the new dataset, its rows and their backbones: pipeline file and name."""
    for path in sorted(root.glob("stages/garden/**/dvc.yaml")):
        for name in yaml.safe_load(path.read_text())["stages"]:
            yield path.relative_to(root).as_posix(), name
    for backbone in ("resnet101", "tinier_resnet"):
        yield f"stages/weights/{backbone}/dvc.yaml", "weights"


def test_the_new_ones_run_through_dvc_to_a_table(made: Path) -> None:
    lines = list(csv.DictReader((made / "results/mini/table_garden.csv").read_text().splitlines()))
    found = {(line["method"], line["backbone_ours"]): line for line in lines}
    methods = [(method, "tiny_resnet") for method in ("Dil-FCN", "Dil-FCN + SGR", "Linear")]
    assert found.keys() == {*methods, ("Dil-FCN", "tinier_resnet")}
    assert all(0 <= float(line["val_miou_ms_ours"]) <= 100 for line in lines)
    assert {key for key, line in found.items() if line["semantics_class_ours"]} == {methods[1]}
    table = (made / "results/mini/table_garden.md").read_text()
    assert "# Gardens\n" in table and "| Linear " in table and "tinier ResNet" in table
    assert (made / "results/mini/figures/tokens_garden.png").read_bytes().startswith(b"\x89PNG")
    assert ran(dvc(made, "repro", "table_garden", "figures_garden")) == []


def test_every_command_knows_the_new_names(made: Path) -> None:
    names = succeeds(
        made, "-c", "from sgr.datasets import describe, names; print(*names(), describe('garden').title)"
    )
    assert "garden" in names.split() and names.endswith("Gardens\n")
    checked = run(made, sys.executable, "-m", "sgr", "data-check", "garden")
    assert checked.returncode == 1 and "there is no folder" in checked.stdout and "garden: " in checked.stdout
    rows = [addition.row for addition in ADDITIONS.values()]
    costs = succeeds(made, "-m", "sgr", "dry-run", *rows)
    assert all(re.search(rf"^{row} .*1 finished", costs, re.MULTILINE) for row in rows)
    listed = succeeds(made, "-m", "sgr", "jobs", "--all")
    assert all(f"{row} " in listed for row in rows)
    for row in rows:
        assert "error" not in succeeds(made, "-m", "sgr", "cancel", row)
        assert f"{row} seed 0: " in succeeds(made, "-m", "sgr", "adopt", row)
        assert succeeds(made, "-m", "sgr", "submit", "--here", f"evaluate@{row}") == ""  # nothing is stale


def test_a_row_by_another_name_is_not_trained_again(made: Path, tmp_path: Path) -> None:
    """Nor evaluated: its jobs keep their content keys, and its label in the table is made from its fields."""
    root = tmp_path / "copy"
    shutil.copytree(made, root, symlinks=True)
    before, table = plans(root)["mini"], (root / "results/mini/table_garden.md").read_bytes()
    attempts = {path: path.read_text() for path in root.glob("jobs/*/attempts.txt")}
    assert len(attempts) == 4 * 2 + 1 and all(len(text.splitlines()) == 1 for text in attempts.values())

    old, new = "garden-fcn-sgr", "garden-renamed"
    text = (root / ROWS).read_text()
    (root / ROWS).write_text(text.replace(f"  {old}:\n", f"  {new}:\n"))
    succeeds(root, "-m", "sgr", "pipeline")
    after = plans(root)["mini"]
    kinds = ("train", "evaluate", "semantics")
    assert before.keys() - after.keys() == {f"{kind}/{old}" for kind in kinds}
    assert after.keys() - before.keys() == {f"{kind}/{new}" for kind in kinds}
    assert {key for key in before.keys() & after.keys() if before[key] != after[key]} == {
        *OF_GARDEN,
        *OF_ALL,
        "explain/all",
        "predictions/garden",
    }
    for kind in kinds:
        assert after[f"{kind}/{new}"] == before[f"{kind}/{old}"] | {"row": new}

    names = ran(dvc(root, "repro", "table_garden"))
    assert f"stages/garden/{new}/dvc.yaml:train@mini" in names
    assert all(new in name for name in names if "/" in name), "stages of other rows ran"
    assert {path: path.read_text() for path in root.glob("jobs/*/attempts.txt")} == attempts
    assert (root / "results/mini/table_garden.md").read_bytes() == table
