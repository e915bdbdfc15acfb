"""The plan: a row's entries change exactly when its own settings or its own code do."""

from __future__ import annotations

import ast
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgr.errors import UserError
from sgr.plan.entries import Entry, Sources
from sgr.plan.entries import entries as plan
from sgr.plan.params import Params
from tests.scratch import ROOT, checked

STAGES = ("train", "evaluate", "semantics", "instance_semantics")
OWN_K = "cocostuff10k-fcn-sgr-no-cosine"


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Params:
    return checked(tmp_path_factory.mktemp("params"))


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of what the plan hashes, free to be edited."""
    shutil.copytree(ROOT / "sgr", tmp_path / "sgr", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    return tmp_path


def entries(params: Params, root: Path) -> dict[str, Entry]:
    """The plan without the entries that gather many networks: tests/test_sweep.py, tests/test_overhead.py."""
    gathered = ("sweep/", "overhead/")
    return {key: entry for key, entry in plan.entries(params, root).items() if not key.startswith(gathered)}


def changed(before: dict[str, Entry], after: dict[str, Entry]) -> set[str]:
    assert before.keys() == after.keys()
    return {key for key in before if before[key] != after[key]}


def of_rows(params: Params, wanted: Any) -> set[str]:
    """The entries of the rows for which `wanted(row)` holds."""
    return {
        f"{stage}/{name}"
        for name, row in params.rows.items()
        for stage in STAGES
        if wanted(row)
        and (stage != "semantics" or row.has_regions)
        and (stage != "instance_semantics" or (row.has_regions and row.dataset == "cocostuff10k"))
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
        assert entry["code"] and entry["libraries"]["torch"], key
        assert all((ROOT / path).is_file() for path in entry["code"]), key


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
    after = checked(tmp_path, {"profiles.paper.training.iterations": 7, "profiles.small.sgr.K": 48})
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
    "sgr/models/recipes.py": lambda stage, row: row or stage == "weights" or of_table3(stage),
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


@pytest.mark.parametrize("path", EDITS)
def test_edit_touches_what_imports_it(path: str, params: Params, code: Path) -> None:
    before = entries(params, code)
    (code / path).write_text((code / path).read_text() + "# edited\n")
    expected = set()
    for key in before:
        stage, name = key.split("/")
        start = params.transfer[name].trained if of_table3(stage) else name
        row = params.rows.get(start or "")
        if EDITS[path](stage, row):
            expected.add(key)
    assert expected and changed(before, entries(params, code)) == expected


def test_edit_of_a_dataset_touches_that_dataset(params: Params, code: Path) -> None:
    before = entries(params, code)
    (code / "sgr/data/cityscapes.py").write_text("# edited\n")
    expected = of_rows(params, lambda row: row.dataset == "cityscapes")
    expected |= {f"{stage}/cityscapes" for stage in ("download", "components", "component_statistics")}
    assert changed(before, entries(params, code)) == expected


@pytest.mark.parametrize("folder", ["sgr/report", "sgr/launch"])
def test_drawing_and_launching_touch_nothing(folder: str, params: Params, code: Path) -> None:
    before = entries(params, code)
    for path in (code / folder).glob("*.py"):
        path.write_text(path.read_text() + "# edited\n")
    (code / "sgr/plan/params.py").write_text("# edited\n")
    (code / "sgr/plan/entries.py").write_text("# edited\n")
    assert changed(before, entries(params, code)) == set()


def test_another_version_of_torch_touches_everything(params: Params, code: Path) -> None:
    before = entries(params, code)
    pins = code / "requirements.txt"
    pins.write_text(pins.read_text().replace("\ntorch==", "\ntorch==9."))
    assert changed(before, entries(params, code)) == before.keys()
    pins.write_text(pins.read_text().replace("\ntorch==", "\ntorch>="))
    with pytest.raises(UserError, match=r"requirements\.txt: torch must be pinned"):
        entries(params, code)


def test_libraries_that_jobs_import_are_pinned_in_the_entry(params: Params) -> None:
    """A library that computes what a job writes may not be missing from LIBRARIES."""
    harmless = {"dvclive", "tqdm"}  # they show and log
    distributions = {
        "PIL": "pillow",
        "cc3d": "connected-components-3d",
        "faster_coco_eval": "faster-coco-eval",
    }
    for key, entry in entries(params, ROOT).items():
        modules = [
            path.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for path in entry["code"]
        ]
        imported = set()
        for module in modules:
            imported |= third_party(ROOT / (module.replace(".", "/") + ".py"))
        names = {distributions.get(name, name) for name in imported - harmless}
        assert names <= entry["libraries"].keys(), key


@cache
def third_party(source: Path) -> set[str]:
    """Top-level names that a file imports, the standard library's and the project's left out."""
    if not source.is_file():
        source = source.with_suffix("") / "__init__.py"
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"sgr"}


@pytest.mark.parametrize("profile", ["mini", "small", "paper"])
def test_overhead_has_every_framework_plain_and_with_each_component(profile: str, tmp_path: Path) -> None:
    params = checked(tmp_path, {"profile": profile})
    entry = plan.entries(params, ROOT)["overhead/all"]
    networks = {item["name"]: item["network"] for item in entry["networks"]}
    kinds = {(n["family"], n["backbone"], (n["unit"] or {}).get("kind")) for n in networks.values()}
    for name, row in params.rows.items():
        network = plan.resolve_network(params, name)
        kind = (row.family, network["backbone"])
        assert (*kind, None) in kinds
        if row.prototypes:
            assert any("prototypes" in n["head"] for n in networks.values() if n["family"] == row.family)
        else:
            assert {(*kind, "sgr"), (*kind, "glore")} <= kinds, name
    assert {item["name"] for item in entry["networks"] if item["concept_loss"]} == {
        name for name in networks if name.endswith("-sgr")
    }


def test_unknown_module_is_named() -> None:
    with pytest.raises(UserError, match=r"sgr\.data\.nosuch"):
        Sources(ROOT).closure(["sgr.data.nosuch"])


def test_lists_of_dvc_yaml_are_those_of_the_rows(params: Params) -> None:
    """DVC cannot filter a list, so these two stand in dvc.yaml by hand."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    with_regions = {name: row.dataset for name, row in params.rows.items() if row.has_regions}
    assert stages["semantics"]["foreach"] == with_regions
    assert set(stages["weights"]["foreach"]) == {row.backbone for row in params.rows.values()}


def test_the_plan_stage_depends_on_every_section(params: Params) -> None:
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["plan"]["params"]
    assert {name.replace("profiles.${profile}", "profiles") for name in declared} == set(
        type(params).model_fields
    )


def test_paper_profile_is_section_5_2(tmp_path: Path) -> None:
    """SGD for the FCN and DeepLabV3 heads, AdamW at 1e-5 for mask classification and Swin backbones."""
    params = checked(tmp_path, {"profile": "paper"})
    found = entries(params, ROOT)
    data = {
        "cityscapes": {"crop": [768, 768], "batch_size": 8},
        "ade20k": {"crop": [512, 512], "batch_size": 16},
        "cocostuff10k": {"crop": [512, 512], "batch_size": 16},
    }
    common = {"power": 0.9, "resize": 1.0}
    for name, row in params.rows.items():
        entry = found[f"train/{name}"]
        wanted: dict[str, Any] = common | data.get(row.dataset, {})
        if row.family in ("fcn", "deeplabv3"):
            rate = 0.006 if row.dataset == "cityscapes" else 0.004
            wanted |= {"optimizer": "sgd", "momentum": 0.9, "learning_rate": rate, "head_multiplier": 10.0}
        elif row.family != "segformer" and row.family != "hrnet":
            wanted |= {"optimizer": "adamw", "learning_rate": 1e-5, "head_multiplier": 10.0}
        assert {key: entry["training"][key] for key in wanted} == wanted, name
        assert entry["pretrained"] and entry["network"]["backbone"] == row.backbone
        assert found[f"evaluate/{name}"]["inference"] == {
            "scales": [0.5, 0.75, 1.0, 1.25, 1.5, 1.75],
            "flip": True,
        }


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
            same = ("dataset", "data", "threads", "seeds", "split", "jitter", "augmentation", "training")
            for key in (*same, "pretrained", "weights"):
                assert found[f"train/{name}"][key] == found[f"train/{plain}"][key], (name, key)
            for key in ("splits", "inference", "resize", "channels_last"):
                assert found[f"evaluate/{name}"][key] == found[f"evaluate/{plain}"][key], (name, key)
