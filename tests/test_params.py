"""params.yaml and params/: each mistake is one sentence that names the key or the row and what would be right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sgr.errors import UserError
from sgr.plan.entries import entries
from sgr.plan.params import load
from tests.scratch import ROOT, checked

ROW = "rows.camvid-fcn-sgr"


def complaint(folder: Path, changes: dict[str, Any]) -> str:
    """The one sentence that the stage plan says to changed parameters."""
    with pytest.raises(UserError) as caught:
        entries(checked(folder, changes), ROOT)
    sentence = str(caught.value)
    assert len(sentence.splitlines()) == 1 and re.match(r"params(\.yaml|/[\w/]+\.yaml): ", sentence)
    return sentence


@pytest.mark.parametrize("profile", ["mini", "small", "paper"])
def test_good_file(profile: str, tmp_path: Path) -> None:
    params = checked(tmp_path, {"profile": profile})
    assert params.chosen == params.profiles[profile]
    assert entries(params, ROOT)


WRONG: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"sgr.K": 0}, ("sgr.K", "greater than or equal to 1", "0")),
    ({f"{ROW}.sgr": {"K": 0}}, (f"{ROW}.sgr.K", "greater than or equal to 1")),
    ({"profiles.paper.sgr.K": -3}, ("profiles/paper.yaml: sgr.K", "greater than or equal to 1", "-3")),
    ({"glore.K": 0}, ("glore.K", "greater than or equal to 1")),
    ({"sgr.K": "many"}, ("sgr.K", "integer", "many")),
    ({"sgr.K": 2.5}, ("sgr.K", "integer", "2.5")),
    ({"sgr.beta": -1}, ("sgr.beta", "greater than or equal to 0", "-1")),
    ({"sgr.reasoning": "mlp"}, ("sgr.reasoning", "'transformer' or 'graph'", "mlp")),
    ({"sgr.xy_embedding": "perhaps"}, ("sgr.xy_embedding", "boolean", "perhaps")),
    ({"profiles.mini.inference.scales": []}, ("profiles/mini.yaml: inference.scales", "at least 1")),
    ({"profiles.mini.seeds": []}, ("profiles/mini.yaml: seeds", "at least 1")),
    ({"profiles.mini.seeds": [-1]}, ("profiles/mini.yaml: seeds", "greater than or equal to 0", "-1")),
    ({"profiles.mini.seeds": [0, 0]}, ("profiles/mini.yaml: seeds", "twice")),
    ({"profiles.mini.training.crop": [96]}, ("profiles/mini.yaml: training.crop",)),
    ({"profiles.mini.training.learning_rate": float("inf")}, ("learning_rate", "finite")),
    (
        {"profiles.mini.families.fcn.stride": 12},
        ("profiles/mini.yaml: families.fcn.stride", "8, 16 or 32", "12"),
    ),
    ({"profiles.mini.families.maskformer.queries": ...}, ("families.maskformer.queries", "required")),
    ({"profiles.mini.families.fcn.queries": 5}, ("families.fcn", "unknown key 'queries'", "width")),
    (
        {"profiles.mini.backbones.swin_t": "swim"},
        ("profiles/mini.yaml: backbones.swin_t", "tiny_swin, tiny_", "'swim'"),
    ),
    ({f"{ROW}.backbone": "resnet5"}, ("backbones", "'resnet5'", "resnet101")),
    ({f"{ROW}.prototypes": True}, (ROW, "upernet, segformer, hrnet", "'fcn'")),
    ({"protoseg.prototypes": 0}, ("protoseg.prototypes", "greater than or equal to 1")),
    ({"profiles.mini.generated": ...}, ("profiles/mini.yaml", "data: generated needs a section 'generated'")),
    (
        {"profiles.mini.subset": {"camvid": 4}},
        ("profiles/mini.yaml: ", "subset is a part of a dataset in a folder", "generated.images"),
    ),
    ({"profiles.small.subset": {"camvit": 4}}, ("profiles.small.subset", "'camvit'", "camvid", "coco")),
    ({"profiles.small.subset": {"camvid": 0}}, ("profiles/small.yaml: subset.camvid", "1", "not 0")),
    ({"profiles.mini.generated.images.test": ...}, ("profiles/mini.yaml: generated.images.test", "required")),
    ({"profile": "huge"}, ("profile 'huge'", "mini, paper, small")),
    (
        {f"{ROW}.dataset": "camvit"},
        ("camvid-fcn-sgr", "'camvit'", "cityscapes, ade20k, cocostuff10k, camvid"),
    ),
    ({f"{ROW}.dataset": ...}, (f"{ROW}.dataset", "required")),
    ({f"{ROW}.family": "fnc"}, (f"{ROW}.family", "one of fcn, deeplabv3", "'fnc'")),
    ({f"{ROW}.unit": "srg"}, (f"{ROW}.unit", "'sgr'", "srg")),
    (
        {"profiles.paper.datasets.camvit": {"iterations": 5}},
        ("profiles.paper.datasets", "'camvit'", "cityscapes, ade20k, cocostuff10k, camvid"),
    ),
    ({"components": ...}, ("components", "required")),
    ({"rows": ...}, ("rows", "required")),
    ({"sgr": None}, ("sgr: must hold keys and their values",)),
]


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=[str(changes) for changes, _ in WRONG])
def test_wrong_value(changes: dict[str, Any], words: tuple[str, ...], tmp_path: Path) -> None:
    sentence = complaint(tmp_path, changes)
    assert [word for word in words if word not in sentence] == [], sentence


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("colour", "profiles"),
        ("sgr.k", "heads"),
        ("glore.heads", "K, D"),
        ("components.closing", "min_share"),
        ("augmentation.rotate", "flip"),
        ("profiles.mini.inference.scale", "scales"),
        ("datasets.camvid.val", "evaluate"),
        ("profiles.paper.gpus", "threads"),
        ("profiles.mini.sgr.gama", "gamma"),
        ("profiles.mini.training.lr", "learning_rate"),
        ("profiles.mini.generated.count", "images"),
        ("profiles.mini.generated.images.val", "test"),
        ("profiles.paper.datasets.ade20k.epochs", "iterations"),
        (f"{ROW}.head", "family"),
        (f"{ROW}.sgr.gama", "gamma"),
        (f"{ROW}.training.batch", "batch_size"),
    ],
)
def test_unknown_key(key: str, right: str, tmp_path: Path) -> None:
    sentence = complaint(tmp_path, {key: 1})
    section, _, name = key.rpartition(".")
    section = re.sub(r"^profiles\.(\w+)", r"profiles/\1.yaml: ", section).replace(": .", ": ")
    assert f"unknown key '{name}'" in sentence and section in sentence
    assert right in sentence, "the known keys are what would be right"


LARGER_L = {
    "everywhere": ({"sgr.K": 8, "sgr.L": 9}, "L = 9", "K = 8"),
    "in the profile": (
        {"profiles.mini.sgr": {"K": 32, "L": 33, "D": 64, "heads": 4, "beta": 1.0}},
        "L = 33",
        "K = 32",
    ),
    "in a row": ({f"{ROW}.sgr": {"K": 32, "L": 40}}, "L = 40", "K = 32"),
    "a row's K below the profile's L": (
        {"profiles.mini.sgr.L": 16, f"{ROW}.sgr": {"K": 4}},
        "L = 16",
        "K = 4",
    ),
}


@pytest.mark.parametrize("where", LARGER_L)
def test_more_active_concepts_than_concepts(where: str, tmp_path: Path) -> None:
    changes, active, concepts = LARGER_L[where]
    sentence = complaint(tmp_path, changes)
    assert "row " in sentence and active in sentence and concepts in sentence
    if "row" in where:
        assert "row camvid-fcn-sgr:" in sentence


def test_heads_must_divide_the_width(tmp_path: Path) -> None:
    sentence = complaint(tmp_path, {f"{ROW}.sgr": {"D": 64, "heads": 5}})
    assert "row camvid-fcn-sgr: sgr.heads = 5 must divide sgr.D = 64" in sentence
    # a graph convolution has no heads
    entries(checked(tmp_path, {f"{ROW}.sgr": {"D": 64, "heads": 5, "reasoning": "graph"}}), ROOT)


def test_parts_must_divide_the_batch(tmp_path: Path) -> None:
    sentence = complaint(tmp_path, {f"{ROW}.training": {"batch_size": 8, "accumulate": 3}})
    assert "row camvid-fcn-sgr: batch_size = 8 must be a multiple of accumulate = 3" in sentence


def test_setting_that_nobody_makes(tmp_path: Path) -> None:
    sentence = complaint(tmp_path, {"profiles.mini.sgr.D": ...})
    assert "sgr.D is set neither by the row nor by the profile" in sentence
    sentence = complaint(tmp_path, {"profiles.mini.training.crop": ...})
    assert "training.crop is set neither" in sentence


def test_one_row_says_another_value(tmp_path: Path) -> None:
    found = entries(checked(tmp_path, {"sgr.K": 40, "sgr.L": 4, f"{ROW}.sgr": {"K": 48}}), ROOT)
    assert found["train/camvid-fcn-sgr"].settings.network.unit.arguments["K"] == 48
    assert found["train/cocostuff10k-fcn-sgr"].settings.network.unit.arguments["K"] == 40


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"sgr: {K: 3\nrows: [", "not valid YAML"),
        (b"", "profile: Field required"),
        (b"- a\n- b\n", "must hold keys"),
        (b"profile: \xff\xfe\n", "not valid YAML"),
    ],
    ids=["syntax", "empty", "list", "not UTF-8"],
)
def test_no_parameters_in_the_file(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        load(tmp_path / "params.yaml")
    assert len(str(caught.value).splitlines()) == 1 and "params.yaml" in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: no such file"):
        load(tmp_path / "params.yaml")
