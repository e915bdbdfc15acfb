"""The plan: a row's entries change exactly when its own settings or its own code do."""

from __future__ import annotations

import ast
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgr.errors import UserError
from sgr.plan import entries as planning
from sgr.plan import resolve
from sgr.plan.entries import Entries
from sgr.plan.entry import Entry
from sgr.plan.params import Params
from sgr.plan.pipeline import expected as pipeline
from sgr.plan.sources import DISTRIBUTIONS, WITHOUT_EFFECT, Sources
from tests.scratch import ROOT, checked, copy_code

STAGES = ("train", "evaluate", "semantics", "instance_semantics")
OWN_K = "cocostuff10k-fcn-sgr-no-cosine"
EDIT = "\nEDITED = 1\n"
REPORTS = ("table/", "claims/", "figures/")
# They gather many rows: see the sweep's and the overhead's own tests, and the last ones here for tables and figures.
GATHERED = ("sweep/", "overhead/", *REPORTS)


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Params:
    return checked(tmp_path_factory.mktemp("params"))


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of what the plan hashes, free to be edited."""
    return copy_code(tmp_path)


def entries(params: Params, root: Path) -> Entries:
    """The plan without the entries that gather many rows."""
    found = planning.entries(params, root)
    return {key: entry for key, entry in found.items() if not key.startswith(GATHERED)}


def reports(params: Params, root: Path) -> Entries:
    """The entries of tables, claims and figures."""
    found = planning.entries(params, root)
    return {key: entry for key, entry in found.items() if key.startswith(REPORTS)}


def changed(before: Entries, after: Entries) -> set[str]:
    assert before.keys() == after.keys()
    return {key for key in before if before[key] != after[key]}


def edit(path: Path) -> None:
    """Add a line that means something."""
    path.write_text(path.read_text() + EDIT)


def of_rows(params: Params, wanted: Any) -> set[str]:
    """The entries of the rows for which `wanted(row)` holds."""
    return {
        f"{stage}/{name}"
        for name, row in params.rows.items()
        for stage in STAGES
        if wanted(row)
        and (stage != "semantics" or row.has_regions)
        and (stage != "instance_semantics" or row.instances)
    }


def of_transfer(params: Params, unit: str | None = None) -> set[str]:
    """The entries of the rows of Table 3 whose start has this unit; of all by default."""
    return {
        f"{stage}/{name}"
        for name, row in params.transfer.items()
        for stage in ("transfer", "detect")
        if unit is None or (row.trained and params.rows[row.trained].unit == unit)
    }


@pytest.mark.parametrize("profile", ["mini", "small", "paper"])
def test_entries_of_everything(profile: str, tmp_path: Path) -> None:
    params = checked(tmp_path, {"profile": profile})
    found = entries(params, ROOT)
    datasets = {f"{stage}/{name}" for stage in ("download", "components") for name in params.datasets}
    backbones = {f"weights/{row.backbone}" for row in params.rows.values()}
    datasets |= {"component_statistics/cityscapes", "download/coco"}
    assert found.keys() == datasets | backbones | of_rows(params, lambda row: True) | of_transfer(params)
    for key, entry in found.items():
        assert entry.code.sources and entry.scripts, key
        assert all((ROOT / path).is_file() for path in [*entry.code.sources, *entry.scripts]), key


def test_same_parameters_same_entries(params: Params) -> None:
    assert entries(params, ROOT) == entries(params, ROOT)


def test_K_touches_the_sgr_rows_that_do_not_set_it(tmp_path: Path) -> None:
    own = {"sgr.L": 4, f"rows.{OWN_K}.sgr": {"gamma": 0.0, "K": 24}}
    before, after = checked(tmp_path, own), checked(tmp_path, {**own, "sgr.K": 20})
    expected = of_rows(after, lambda row: row.unit == "sgr" and row != after.rows[OWN_K])
    assert f"train/{OWN_K}" not in expected and len(expected) > 10
    expected |= of_transfer(after, "sgr")
    assert changed(entries(before, ROOT), entries(after, ROOT)) == expected


def test_a_rows_own_K_touches_that_row(params: Params, tmp_path: Path) -> None:
    more = (params.chosen.sgr.K or 0) + 1
    after = checked(tmp_path, {"rows.camvid-fcn-sgr.sgr": {"K": more}})
    expected = {f"{stage}/camvid-fcn-sgr" for stage in ("train", "evaluate", "semantics")}
    assert changed(entries(params, ROOT), entries(after, ROOT)) == expected


def test_weight_of_a_loss_touches_training_alone(params: Params, tmp_path: Path) -> None:
    after = checked(tmp_path, {"sgr.rho": 0.5})
    expected = {
        f"train/{name}" for name, row in after.rows.items() if row.unit == "sgr" and row.sgr.beta != 0
    }
    assert changed(entries(params, ROOT), entries(after, ROOT)) == expected


def test_glore_K_touches_glore_rows(params: Params, tmp_path: Path) -> None:
    after = checked(tmp_path, {"glore.K": 7})
    expected = of_rows(after, lambda row: row.unit == "glore") | of_transfer(after, "glore")
    assert changed(entries(params, ROOT), entries(after, ROOT)) == expected


def test_another_profile_in_the_file_touches_nothing(params: Params, tmp_path: Path) -> None:
    after = checked(tmp_path, {"profiles.paper.training.iterations": 7000, "profiles.small.sgr.K": 48})
    assert changed(entries(params, ROOT), entries(after, ROOT)) == set()


def test_inference_touches_evaluation_alone(params: Params, tmp_path: Path) -> None:
    after = checked(tmp_path, {"profiles.mini.inference.flip": False})
    assert changed(entries(params, ROOT), entries(after, ROOT)) == {
        f"evaluate/{name}" for name in params.rows
    }


def test_a_detector_setting_touches_the_rows_of_table_3(params: Params, tmp_path: Path) -> None:
    rate = checked(tmp_path, {"profiles.mini.detection.training.learning_rate": 0.5})
    expected = {f"transfer/{name}" for name in params.transfer}
    assert changed(entries(params, ROOT), entries(rate, ROOT)) == expected
    anchors = checked(tmp_path, {"profiles.mini.detection.anchors": [24]})
    assert changed(entries(params, ROOT), entries(anchors, ROOT)) == of_transfer(params)


def is_sgr(row: Any) -> bool:
    return bool(row.unit == "sgr")


def of_table3(stage: str) -> bool:
    return stage in ("transfer", "detect")


# edited file -> the entries that it changes, of all (stage, row or None; of Table 3 the row that it starts from)
EDITS: dict[str, Any] = {
    "sgr/models/heads/deeplabv3.py": lambda stage, row: row and row.family == "deeplabv3",
    "sgr/models/heads/fcn.py": lambda stage, row: row and row.family == "fcn" and not of_table3(stage),
    "sgr/models/heads/upernet.py": lambda stage, row: row and row.family == "upernet",
    "sgr/models/heads/queries.py": lambda stage, row: row and row.family in ("maskformer", "mask2former"),
    "sgr/models/heads/prototypes.py": lambda stage, row: row and row.prototypes,
    "sgr/models/backbones/swin.py": lambda stage, row: row and row.backbone in ("swin_t", "swin_b"),
    "sgr/models/backbones/convolutional.py": lambda stage, row: (
        of_table3(stage) or (row and row.backbone == "resnet101")
    ),
    "sgr/models/network.py": lambda stage, row: row or of_table3(stage),
    "sgr/models/backbone.py": lambda stage, row: row or stage == "weights" or of_table3(stage),
    "sgr/models/settings.py": lambda stage, row: row or stage == "weights" or of_table3(stage),
    "sgr/glore.py": lambda stage, row: row and row.unit == "glore",
    "sgr/unit.py": lambda stage, row: row and is_sgr(row),
    "sgr/reasoning.py": lambda stage, row: row and row.unit != "none",
    "sgr/losses.py": lambda stage, row: stage == "train" and is_sgr(row) and row.sgr.beta != 0,
    "sgr/matching.py": lambda stage, row: stage == "train" and is_sgr(row) and row.sgr.beta != 0,
    "sgr/semantics.py": lambda stage, row: stage in ("semantics", "instance_semantics"),
    "sgr/evaluation/instances.py": lambda stage, row: stage == "instance_semantics",
    "sgr/connected.py": lambda stage, row: stage == "components",
    "sgr/training/loop.py": lambda stage, row: stage in ("train", "transfer"),
    "sgr/detection/network.py": lambda stage, row: of_table3(stage),
    "sgr/detection/average_precision.py": lambda stage, row: stage == "detect",
    "sgr/evaluation/miou.py": lambda stage, row: stage == "evaluate",
    "sgr/generated/painter.py": lambda stage, row: stage == "download",
}

# a body is made, and its published weights are named anew, by the same file
OF_WEIGHTS = {
    "sgr/models/backbones/swin.py": {"weights/swin_t", "weights/swin_b"},
    "sgr/models/backbones/convolutional.py": {"weights/resnet101"},
}


@pytest.mark.parametrize("path", EDITS)
def test_edit_touches_what_imports_it(path: str, params: Params, code: Path) -> None:
    before = entries(params, code)
    edit(code / path)
    expected = set(OF_WEIGHTS.get(path, ()))
    for key in before:
        stage, name = key.split("/")
        start = params.transfer[name].trained if of_table3(stage) else name
        row = params.rows.get(start or "")
        if EDITS[path](stage, row):
            expected.add(key)
    assert expected and changed(before, entries(params, code)) == expected


def test_edit_of_a_dataset_touches_that_dataset(params: Params, code: Path) -> None:
    before = entries(params, code)
    edit(code / "sgr/data/cityscapes.py")
    expected = of_rows(params, lambda row: row.dataset == "cityscapes")
    expected |= {f"{stage}/cityscapes" for stage in ("download", "components", "component_statistics")}
    assert changed(before, entries(params, code)) == expected


def test_edit_of_a_description_touches_no_job(params: Params, code: Path) -> None:
    before = entries(params, code)
    edit(code / "sgr/datasets/cityscapes.py")
    assert changed(before, entries(params, code)) == {
        "download/cityscapes",
        "component_statistics/cityscapes",
    }


@pytest.mark.parametrize(
    "folder", ["sgr/report", "sgr/jobs", "sgr/cli", "sgr/plan", "sgr/cost", "sgr/models/*s.py"]
)
def test_drawing_launching_and_registries_touch_nothing(folder: str, params: Params, code: Path) -> None:
    """What a recipe or a family says stands resolved in the entries."""
    before = entries(params, code)
    registries = [code / f"sgr/models/{name}.py" for name in ("recipes", "families")]
    files = registries if folder.endswith(".py") else sorted((code / folder).rglob("*.py"))
    for path in [*files, code / "sgr/kinds.py"]:
        edit(path)
    if folder == "sgr/report":  # draws what is measured there
        before.pop("component_statistics/cityscapes")
        after = entries(params, code)
        after.pop("component_statistics/cityscapes")
    else:
        after = entries(params, code)
    assert len(files) > 1 and changed(before, after) == set()


def test_another_version_of_torch_touches_what_imports_it(params: Params, code: Path) -> None:
    before = entries(params, code)
    pins = code / "requirements.txt"
    pins.write_text(pins.read_text().replace("\ntorch==", "\ntorch==9."))
    expected = of_rows(params, lambda row: True) | of_transfer(params)
    expected |= {f"weights/{row.backbone}" for row in params.rows.values()}
    expected |= {f"components/{name}" for name in params.datasets}
    assert changed(before, entries(params, code)) == expected
    pins.write_text(pins.read_text().replace("\ntorch==", "\ntorch>="))
    with pytest.raises(
        UserError, match=r"requirements\.txt: torch, which sgr/\S+\.py imports, must be pinned"
    ):
        entries(params, code)


def test_libraries_are_those_that_the_code_of_the_entry_imports(params: Params) -> None:
    """None that computes what a job writes is missing, and none stands there that it does not import."""
    for key, entry in planning.entries(params, ROOT).items():
        imported = set().union(*(third_party(ROOT / path) for path in entry.code.sources))
        wanted = {DISTRIBUTIONS.get(name, name) for name in imported - WITHOUT_EFFECT.keys()}
        assert {name.replace("-", "_") for name in wanted} == {
            name.replace("-", "_") for name in entry.code.libraries
        }, key


@cache
def third_party(source: Path) -> set[str]:
    """Top-level names that a file imports, but for type checkers; the standard library's and the project's left out."""
    names = set()
    waiting: list[ast.AST] = [ast.parse(source.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            waiting += ast.iter_child_nodes(node)
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"sgr"}


@pytest.mark.parametrize("profile", ["mini", "small", "paper"])
def test_overhead_has_every_framework_plain_and_with_each_unit(profile: str, tmp_path: Path) -> None:
    params = checked(tmp_path, {"profile": profile})
    candidates = planning.entries(params, ROOT)["overhead/all"].settings.networks
    units = {"sgr.unit:SGR": "sgr", "sgr.glore:GloRe": "glore"}
    kinds = {
        (one.family, one.backbone, units[one.network.unit.made_by] if one.network.unit else None)
        for one in candidates
    }
    for name, row in params.rows.items():
        kind = (row.family, params.chosen.backbones.get(row.backbone, row.backbone))
        of_kind = [one for one in candidates if (one.family, one.backbone) == kind]
        backbone = resolve.network(params, name).backbone
        assert of_kind and all(one.network.backbone == backbone for one in of_kind)
        assert (*kind, None) in kinds
        if row.prototypes:
            assert any("prototypes" in one.network.head.arguments for one in of_kind)
        else:
            assert {(*kind, "sgr"), (*kind, "glore")} <= kinds, name
    assert {one.name for one in candidates if one.concept_loss} == {
        one.name for one in candidates if one.name.endswith("-sgr")
    }


def test_unknown_module_is_named() -> None:
    with pytest.raises(UserError, match=r"sgr\.data\.nosuch"):
        Sources(ROOT).closure(["sgr.data.nosuch"])


def test_every_entry_is_a_dependency_of_its_own_stage(params: Params) -> None:
    """The semantics of the rows with regions, the weights of their backbones: no list is kept by hand."""
    found = {}
    for text in pipeline(params, ROOT).values():
        for stage in yaml.safe_load(text)["stages"].values():
            _, _, module, *arguments = stage["cmd"].split()
            key = arguments[1] if len(arguments) > 1 else "all"
            found[f"{module.removeprefix('stages.')}/{key}"] = stage["deps"]
    assert found.pop("plan/all")
    assert found.keys() == planning.entries(params, ROOT).keys()
    for key, deps in found.items():
        assert f"work/${{profile}}/plan/{key}.json" in deps, key


def test_the_plan_stage_depends_on_all_that_it_reads() -> None:
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["plan"]["deps"]
    scripts = {path.relative_to(ROOT).as_posix() for path in (ROOT / "stages").glob("*.py")}
    read = {"sgr", "params", "params.yaml", "requirements.txt", "stages/template.yaml"}
    assert set(deps) == scripts | read


def test_paper_profile_is_section_5_2(tmp_path: Path) -> None:
    """SGD for the FCN and DeepLabV3 heads, AdamW at 1e-5 for mask classification and Swin backbones."""
    params = checked(tmp_path, {"profile": "paper"})
    found = entries(params, ROOT)
    data = {"cityscapes": ((768, 768), 8), "ade20k": ((512, 512), 16), "cocostuff10k": ((512, 512), 16)}
    for name, row in params.rows.items():
        train, evaluate = found[f"train/{name}"].settings, found[f"evaluate/{name}"].settings
        optimizer = train.optimizer
        assert train.power == 0.9 and evaluate.seen.resize == 1.0
        assert train.augmentation.scale == params.augmentation.scale == (0.5, 2.0)
        if row.dataset in data:
            assert (train.augmentation.crop, train.loop.batch_size) == data[row.dataset], name
        if row.family in ("fcn", "deeplabv3"):
            rate = 0.006 if row.dataset == "cityscapes" else 0.004
            assert (optimizer.optimizer, optimizer.momentum, optimizer.learning_rate) == ("sgd", 0.9, rate), (
                name
            )
            assert optimizer.head_multiplier == 10.0, name
        elif row.family != "segformer" and row.family != "hrnet":
            assert (optimizer.optimizer, optimizer.learning_rate) == ("adamw", 1e-5), name
            assert optimizer.head_multiplier == 10.0, name
        assert train.pretrained and found[f"train/{name}"].backbone == row.backbone
        assert found[f"train/{name}"].weights == row.backbone
        assert evaluate.inference.scales == (0.5, 0.75, 1.0, 1.25, 1.5, 1.75) and evaluate.inference.flip


def test_a_row_trains_as_its_baseline(params: Params, tmp_path: Path) -> None:
    """A unit is the only difference between a row and its plain row: same data, schedule and evaluation."""
    for profile in params.profiles:
        found = entries(checked(tmp_path, {"profile": profile}), ROOT)
        for name, row in params.rows.items():
            if row.unit == "none":
                continue
            plain = next(
                other
                for other, candidate in params.rows.items()
                if candidate.unit == "none"
                and (candidate.dataset, candidate.family, candidate.backbone, candidate.prototypes)
                == (row.dataset, row.family, row.backbone, row.prototypes)
            )
            assert without_unit(found[f"train/{name}"], plain) == without_unit(found[f"train/{plain}"], plain)
            one, other = (found[f"evaluate/{of}"] for of in (name, plain))
            assert without_unit(one, plain) == without_unit(other, plain)


def without_unit(entry: Entry[Any], row: str) -> Entry[Any]:
    """An entry of the same row without the unit, its loss and its code, under the name of another row."""
    settings, code = entry.settings, replace(entry.code, sources={}, libraries={})
    if hasattr(settings, "network"):
        network = replace(settings.network, unit=None)
        settings = replace(settings, network=network, concept_loss=None, beta=0.0)
    else:
        seen = replace(settings.seen, network=replace(settings.seen.network, unit=None))
        settings = replace(settings, seen=seen)
    return replace(entry, settings=settings, code=code, row=row)


def test_values_of_all_rows_touch_no_table(params: Params, tmp_path: Path) -> None:
    """A table is made anew where its results are others; its entry says which rows stand in it, and how they differ."""
    after = checked(tmp_path, {"sgr.K": 20, "glore.K": 7, "profiles.mini.training.iterations": 7})
    assert changed(reports(params, ROOT), reports(after, ROOT)) == set()


def test_a_rows_own_K_touches_its_tables_and_figures(params: Params, tmp_path: Path) -> None:
    before = reports(params, ROOT)
    of_camvid = checked(tmp_path, {"rows.camvid-fcn-sgr.sgr": {"K": 48}})
    assert changed(before, reports(of_camvid, ROOT)) == {
        *("table/table_camvid", "claims/all", "figures/camvid")
    }
    of_table4 = checked(tmp_path, {f"rows.{OWN_K}.sgr": {"gamma": 0.0, "K": 48}})
    assert changed(before, reports(of_table4, ROOT)) == {
        *("table/table4", "claims/all", "figures/cocostuff10k")
    }


def test_edit_of_a_description_touches_its_tables_and_figures(params: Params, code: Path) -> None:
    before = reports(params, code)
    edit(code / "sgr/datasets/cityscapes.py")
    assert changed(before, reports(params, code)) == {
        *("table/table1", "table/table2", "claims/all", "figures/cityscapes")
    }


def test_edit_of_a_claim_touches_the_claims_alone(params: Params, code: Path) -> None:
    before = planning.entries(params, code)
    edit(code / "sgr/report/claims/claims.py")
    assert changed(before, planning.entries(params, code)) == {"claims/all"}


@pytest.mark.parametrize("stage", ["train", "evaluate", "table", "plan"])
def test_edit_of_a_script_touches_its_stage_and_no_job(stage: str, params: Params, code: Path) -> None:
    before = planning.entries(params, code)
    edit(code / f"stages/{stage}.py")
    after = planning.entries(params, code)
    stages = {"train", "transfer"} if stage == "train" else {stage}  # a transfer ends as a training does
    assert changed(before, after) == {key for key in before if key.partition("/")[0] in stages}
    assert all(before[key].code == after[key].code for key in before)
