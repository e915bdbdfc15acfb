"""The pipeline files follow from the parameters, and DVC finds in them what a user expects."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from sgr.errors import UserError
from sgr.plan.params import Params
from sgr.plan.params import load as load_params
from sgr.plan.pipeline import TEMPLATE, check, expected, write
from sgr.project import PROJECT
from sgr.report.labels import networks
from sgr.report.tables import splits_of, tables, write_table
from tests.scratch import (
    PROFILES,
    ROOT,
    ROWS,
    checked,
    commit,
    copy_checkout,
    dvc,
    parameters,
    ran,
    run,
)

NEW = {"dataset": "camvid", "family": "fcn", "backbone": "resnet101", "unit": "sgr", "sgr": {"K": 48}}
TOP = Path("dvc.yaml")
OF_NEW = Path("stages/camvid/camvid-new/dvc.yaml")
CAMVID = ("camvid-fcn", "camvid-fcn-sgr")
FILES = ("params.yaml", ROWS, *(f"{PROFILES}/{name}.yaml" for name in ("mini", "small", "paper")))


def without(*kept: str) -> dict[str, Any]:
    """Changes that leave these rows alone."""
    return {f"rows.{name}": ... for name in parameters()["rows"] if name not in kept} | {"transfer": {}}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The scripts and the template in a folder, with the pipeline files of the checkout's parameters."""
    for path in [*(ROOT / "stages").glob("*.py"), ROOT / TEMPLATE]:
        (tmp_path / "stages").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "stages")
    write(checked(tmp_path), tmp_path)
    return tmp_path


def test_the_files_of_the_checkout_are_those_of_its_parameters() -> None:
    params = load_params(ROOT / "params.yaml")
    check(params, ROOT)
    below = {path.relative_to(ROOT) for path in (ROOT / "stages").rglob("dvc.yaml")}
    assert {*below, Path("dvc.yaml")} == expected(params, ROOT).keys()


def test_nothing_to_write_writes_nothing(project: Path) -> None:
    assert write(checked(project), project) == []


def test_a_new_row_is_one_file_and_a_line_in_the_chart_of_its_dataset(project: Path) -> None:
    before = (project / TOP).read_text().splitlines()
    assert write(checked(project, {"rows.camvid-new": NEW}), project) == [TOP, OF_NEW]
    new = [line for line in (project / TOP).read_text().splitlines() if line not in before]
    assert new == ["        results/${profile}/curves/camvid/camvid-new.csv: loss"]
    stages = yaml.safe_load((project / OF_NEW).read_text())["stages"]
    assert list(stages) == ["train", "evaluate", "semantics"]
    assert stages["train"]["cmd"] == "python -m stages.train ${profile} camvid-new"
    assert "work/${profile}/weights/resnet101" in stages["train"]["deps"]


def test_a_row_whose_predictions_are_shown_is_a_dependency_of_them(project: Path) -> None:
    row = {"rows.camvid-new": {"dataset": "camvid", "family": "maskformer", "backbone": "resnet101"}}
    assert write(checked(project, row), project) == [Path("dvc.yaml"), OF_NEW]
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    names = ("camvid-fcn", "camvid-fcn-glore", "camvid-fcn-sgr", "camvid-new")
    assert stages["predictions_camvid"]["deps"][1:] == [
        "work/${profile}/tokens/camvid/camvid-fcn-glore.npz",
        *(f"work/${{profile}}/train/{name}" for name in names),
    ]


def test_a_renamed_row_leaves_nothing_behind(project: Path) -> None:
    write(checked(project, {"rows.camvid-new": NEW}), project)
    (project / OF_NEW).with_suffix(".lock").write_text("schema: '2.0'\n")
    renamed = Path("stages/camvid/camvid-newer/dvc.yaml")
    assert write(checked(project, {"rows.camvid-newer": NEW}), project) == [TOP, renamed, OF_NEW]
    assert not (project / OF_NEW).parent.exists()


def test_a_new_backbone_and_a_new_seed(project: Path) -> None:
    row = {"rows.camvid-fcn.backbone": "tiny_mit"}
    changed = write(checked(project, row), project)
    of_row = [Path("stages/weights/tiny_mit/dvc.yaml"), Path("stages/camvid/camvid-fcn/dvc.yaml")]
    assert changed == [Path("dvc.yaml"), *of_row]  # its predictions are no longer beside those of the others
    assert write(checked(project, row | {"rows.camvid-fcn.seeds": [0, 1]}), project) == []


def test_a_dataset_without_rows_has_neither_table_nor_figures(project: Path) -> None:
    few = checked(project, without("cityscapes-fcn-sgr") | {"sweep.row": "cityscapes-fcn-sgr"})
    stages = yaml.safe_load(expected(few, project)[Path("dvc.yaml")])["stages"]
    assert "figures_cityscapes" in stages and not {"table_camvid", "figures_camvid"} & stages.keys()


def test_stages_follow_from_the_fields_of_a_row(project: Path) -> None:
    found = {path: list(yaml.safe_load(text)["stages"]) for path, text in files(project).items()}
    of_row = ["train", "evaluate", "semantics", "instance_semantics"]
    assert found[Path("stages/cocostuff10k/cocostuff10k-fcn-sgr/dvc.yaml")] == of_row
    assert found[Path("stages/cityscapes/cityscapes-maskformer/dvc.yaml")] == of_row[:3]
    assert found[Path("stages/cityscapes/cityscapes-fcn/dvc.yaml")] == of_row[:2]
    assert found[Path("stages/coco/coco-sgr/dvc.yaml")] == ["transfer", "detect"]
    assert found[Path("stages/coco/dvc.yaml")] == ["download"]
    assert "component_statistics_cityscapes" in found[Path("dvc.yaml")]
    assert {name for name in found[Path("dvc.yaml")] if name.startswith("table")} == {
        *tables(splits_of(checked(project)))
    }


def files(project: Path, changes: Mapping[str, Any] | None = None) -> dict[Path, str]:
    return expected(checked(project, changes), project)


def test_every_variable_but_the_profile_has_its_value(project: Path) -> None:
    left = {name for text in files(project).values() for name in re.findall(r"\$\{(.*?)\}", text)}
    assert left == {"profile"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"rows.camvid-new": NEW},
            f"{OF_NEW} is missing: the stages of row camvid-new",
        ),
        (
            {"rows.camvid-fcn.unit": "sgr"},
            "stages/camvid/camvid-fcn/dvc.yaml differs from the stages of row camvid-fcn",
        ),
        (
            {"rows.camvid-fcn-glore": ...},
            "stages/camvid/camvid-fcn-glore/dvc.yaml holds stages of nothing in params/rows.yaml",
        ),
    ],
)
def test_plan_refuses_files_of_other_parameters(project: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(said)}: run `python -m sgr pipeline`$"):
        check(checked(project, changes), project)
    write(checked(project, changes), project)
    check(checked(project, changes), project)


# What DVC makes of them


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows of CamVid in a repository whose stages write their name into each of their outs, at once."""
    root = copy_checkout(tmp_path_factory.mktemp("pipeline") / "copy")
    params = checked(root, without(*CAMVID))
    apply_overrides(root / "params.yaml", [])  # in DVC's form, to which a switch there and back leads again
    write(params, root)
    for path in expected(params, root):
        pipeline = yaml.safe_load((root / path).read_text())
        for name, stage in pipeline["stages"].items():
            outs = [out if isinstance(out, str) else next(iter(out)) for out in all_outs(stage)]
            stage["cmd"] = f"sh fake.sh {name} {' '.join(outs)}"
            if name == "plan":
                stage["cmd"] = "mkdir -p work/${profile}/plan && cp -r plan/. work/${profile}/plan"
        (root / path).write_text(yaml.safe_dump(pipeline, sort_keys=False))
        for stage in pipeline["stages"].values():
            for entry in (dep for dep in stage["deps"] if "/plan/" in dep):
                file = root / entry.removeprefix("work/${profile}/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{file.stem}\n")
    (root / "fake.sh").write_text(
        "name=$1; shift; for out; do mkdir -p $(dirname $out); echo $name > $out; done\n"
    )
    commit(root)
    return root


def all_outs(stage: dict[str, Any]) -> list[Any]:
    return [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]


def test_dvc_makes_one_table_and_no_other(scratch: Path) -> None:
    done = ran(dvc(scratch, "repro", "table_camvid"))
    row = [f"{kind}@mini" for kind in ("train", "evaluate", "semantics")]
    names = {
        *("plan@mini", "table_camvid@mini", "stages/weights/resnet101/dvc.yaml:weights@mini"),
        *(f"stages/camvid/dvc.yaml:{kind}@mini" for kind in ("download", "components")),
        *(f"stages/camvid/camvid-fcn/dvc.yaml:{name}" for name in row[:2]),
        *(f"stages/camvid/camvid-fcn-sgr/dvc.yaml:{name}" for name in row),
    }
    assert {*done} == names and len(done) == len(names)


def test_a_row_has_targets_of_its_own(scratch: Path) -> None:
    dvc(scratch, "repro", "table_camvid")
    listed = run(scratch, "dvc", "stage", "list", "--name-only", "stages/camvid/camvid-fcn/dvc.yaml")
    assert listed.stdout.split() == [
        f"stages/camvid/camvid-fcn/dvc.yaml:{name}@mini" for name in ("train", "evaluate")
    ]


def test_a_switch_of_the_profile_loses_nothing(scratch: Path) -> None:
    dvc(scratch, "repro", "table_camvid")
    locks = {path: path.read_text() for path in scratch.rglob("dvc.lock")}
    apply_overrides(scratch / "params.yaml", ["profile=small"])
    assert "table_camvid@small" in ran(dvc(scratch, "repro", "table_camvid"))
    for path, text in locks.items():
        before, now = (yaml.safe_load(lock)["stages"] for lock in (text, path.read_text()))
        assert now.items() >= before.items() and len(now) == 2 * len(before)
    assert ran(dvc(scratch, "repro", "table_camvid")) == []
    apply_overrides(scratch / "params.yaml", ["profile=mini"])
    assert ran(dvc(scratch, "repro", "table_camvid")) == []


def test_a_lock_holds_its_own_stages_alone(scratch: Path) -> None:
    """What DVC rewrites after a stage of a row is as large with two rows as with fifty."""
    dvc(scratch, "repro", "table_camvid")
    lock = scratch / "stages" / "camvid" / "camvid-fcn-sgr" / "dvc.lock"
    names = {name.partition("@")[0] for name in yaml.safe_load(lock.read_text())["stages"]}
    assert names == {"train", "evaluate", "semantics"} and lock.stat().st_size < 8000


def test_experiments_have_few_columns(tmp_path: Path) -> None:
    """At most 40 beside the dependencies: parameters that are turned, and each table's summary."""
    root = copy_checkout(tmp_path / "copy")
    shutil.copytree(ROOT / "results" / "mini", root / "results" / "mini")
    params = load_params(root / "params.yaml")
    for name, specified in tables(splits_of(params)).items():
        table = specified()
        write_table("mini", name, table, dict(networks(params)), root / "results")
    commit(root)
    columns = next(csv.reader(io.StringIO(dvc(root, "exp", "show", "--csv"))))
    deps = {"sgr", "params", "params.yaml", "requirements.txt"}
    shown = [name for name in columns if "/" not in name and name not in deps]
    assert {"profile", "sgr.K", "camvid.gain_ms", "cityscapes.S_C", "coco.gain_mask_ap"} <= {*shown}
    assert len(shown) <= 40, shown


# The form of params.yaml and params/


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_files_are_in_the_form_in_which_dvc_writes_them(copies: Path, name: str) -> None:
    apply_overrides(copies / name, [])
    assert (copies / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("params.yaml", "sgr.K=48"),
        ("params.yaml", "profile=paper"),
        ("params.yaml", "sgr.beta=0.2"),
        (ROWS, "rows.camvid-fcn.family=deeplabv3"),
        (ROWS, "rows.camvid-fcn-sgr-no-token-supervision.sgr.beta=0.1"),
        (f"{PROFILES}/mini.yaml", "training.iterations=10"),
    ],
)
def test_an_override_changes_one_line(copies: Path, name: str, override: str) -> None:
    apply_overrides(copies / name, [override])
    before, after = ((folder / name).read_text().splitlines() for folder in (ROOT, copies))
    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert len(changed) == 2 and override.rpartition("=")[2] in changed[1]


def test_a_key_stands_in_one_file(copies: Path) -> None:
    with open(copies / "params.yaml", "a") as file:
        file.write("\nglore:\n  K:\n  D:\n")
    with pytest.raises(UserError, match=r"rows\.yaml: glore stands in params\.yaml too"):
        load_params(copies / "params.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sgr.K": 0}, "params.yaml: sgr.K: "),
        ({"rows.camvid-fcn.family": "vgg"}, "params/rows.yaml: rows.camvid-fcn.family: "),
        ({"profiles.small.threads": 0}, "params/profiles/small.yaml: threads: "),
    ],
)
def test_a_mistake_names_its_file(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(said)}"):
        checked(tmp_path, changes)


def test_the_files_hold_what_one_would(tmp_path: Path) -> None:
    whole: Params = checked(tmp_path)
    assert whole == load_params(ROOT / "params.yaml")
    assert json.loads(whole.model_dump_json())["profiles"].keys() == {"mini", "small", "paper"}


def test_locks_that_a_run_writes_leave_the_code_clean(tmp_path: Path) -> None:
    root = copy_checkout(tmp_path / "copy")
    commit(root)

    def dirty() -> str:
        return run(root, "git", "status", "--porcelain", "--", *PROJECT.commit_paths).stdout

    for lock in ("dvc.lock", "stages/camvid/camvid-fcn/dvc.lock"):
        (root / lock).write_text("schema: '2.0'\n")
    assert dirty() == ""
    (root / "stages" / "train.py").write_text("# another\n")
    assert "stages/train.py" in dirty()
