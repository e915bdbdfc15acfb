"""YAML files: one dialect, DVC's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml

from sgr import yaml_files
from sgr.errors import UserError
from tests.scratch import ROOT

TEXTS = {
    "010": 10,
    "0o17": 15,
    "1_000": 1000,
    "1e-3": 0.001,
    "1.0": 1.0,
    "12:30:00": "12:30:00",
    "yes": "yes",
    "on": "on",
    "true": True,
    ".inf": float("inf"),
    "": None,
    "[1, 2]": [1, 2],
}


@pytest.mark.parametrize("text", TEXTS)
def test_dialect_is_dvcs(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"key: {text}\n")
    found = yaml_files.read(file)
    assert found == {"key": TEXTS[text]} == load_yaml(str(file))
    assert type(found["key"]) is type(TEXTS[text])


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("sgr.K=256", 256),
        ("sgr.rho=1e-3", 0.001),
        ("sgr.rho=5e-324", 5e-324),
        ("sgr.gamma=1.0", 1.0),
        ("sgr.K=010", "010"),  # a word to Hydra, and so it is quoted
        ("sgr.K='010'", "010"),
        ("sgr.union=yes", "yes"),
        ("sgr.union='true'", "true"),
        ("sgr.D=12:30:00", "12:30:00"),
        ("sgr.xy_embedding=false", False),
        ("sgr.L=null", None),
    ],
)
def test_what_dvc_writes_reads_the_same(override: str, value: Any, tmp_path: Path) -> None:
    file = Path(shutil.copy(ROOT / "params.yaml", tmp_path))
    before = yaml_files.read(file)
    apply_overrides(str(file), [override])
    key = override.partition("=")[0].removeprefix("sgr.")
    after = yaml_files.read(file)
    assert after["sgr"][key] == value and type(after["sgr"][key]) is type(value)
    assert after == before | {"sgr": before["sgr"] | {key: value}}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a: 1\nb: 2\na: 3\n", 'line 3: "a" stands there twice'),
        (b"s: {K: 1,\n  K: 2}\n", 'line 2: "K" stands there twice'),
        (b"? {a: b}\n: c\n", "not valid YAML: line 1"),
        (b"a: 2020-13-45\n", "not valid YAML: month must be in 1..12"),
        (b"a: 1\n---\nb: 2\n", "not valid YAML: line 2: expected a single document"),
        (b"a: !!python/object:os.system x\n", "not valid YAML: line 1: could not determine a constructor"),
        (b"[" * 5000, "not valid YAML: maximum recursion depth"),
        (b"a: \x00\n", "not valid YAML"),
        (b"text\n", "must hold keys and their values"),
    ],
)
def test_no_file_of_keys(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(UserError) as caught:
        yaml_files.read(tmp_path / "a.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/a.yaml: {sentence}"), caught.value
    assert len(str(caught.value).splitlines()) == 1


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder cannot be read: Is a directory"):
        yaml_files.read(tmp_path, "a folder")
