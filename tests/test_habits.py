"""What others expect around a repository agrees with it: workflows, hooks, images, the site, a CPU's packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

import sgr
from tests.scratch import ROOT

PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE))


def python_versions(text: str) -> set[str]:
    return set(re.findall(r"\b3\.\d+(?=[-\"'\s]|$)", text))


@pytest.mark.parametrize(
    "workflow", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.stem
)
def test_workflows_run_what_anybody_can(workflow: Path) -> None:
    described = yaml.safe_load(workflow.read_text())
    steps = [step for job in described["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    for command in commands:
        script, *arguments = command.split()
        if script == "make":
            subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, check=True, capture_output=True)
        else:
            assert os.access(ROOT / script, os.X_OK), command
    assert all(re.fullmatch(r"[\w/-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    assert described["permissions"]["contents"] == "read"
    assert python_versions(workflow.read_text()) <= {"3.11"}


def test_hooks_are_of_the_pinned_versions() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["rev"] for repo in hooks if repo["repo"].endswith("ruff-pre-commit")] == [f"v{PINS['ruff']}"]
    entries = [hook["entry"] for repo in hooks if repo["repo"] == "local" for hook in repo["hooks"]]
    assert entries == [".venv/bin/mypy", ".venv/bin/python -m sgr pipeline"]


def test_changelog_names_the_version() -> None:
    newest, *_ = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert newest == sgr.__version__


@pytest.mark.parametrize("image", ["Containerfile", "sgr.def"])
def test_images_are_made_of_what_is_there(image: str) -> None:
    text = (ROOT / image).read_text()
    assert "python:3.11-slim" in text and "PYTHON ?= python3.11" in (ROOT / "Makefile").read_text()
    copied = re.findall(r"^(?:COPY --chown=sgr (.+) \./|    (\S+) /opt/sgr/\S+)$", text, flags=re.MULTILINE)
    names = " ".join("".join(found) for found in copied).split()
    assert sorted(names) == ["Makefile", "requirements.txt"]
    assert "make install PYTHON=python3" in text
    assert subprocess.run(["make", "-n", "install"], cwd=ROOT, capture_output=True).returncode == 0


def test_site_has_every_page() -> None:
    """`nav` of mkdocs.yml, whose Python names a safe reader does not know."""
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    pages = re.findall(r"[\w-]+\.md", nav)
    assert sorted(pages) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_documentation_pins_no_other_version() -> None:
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "docs/requirements.txt").read_text(), flags=re.MULTILINE)
    assert len(pins) > 10 and not set(pins) & set(PINS)


def wheel(folder: Path, name: str, version: str) -> None:
    """A package without content."""
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


def test_cpu_takes_builds_without_cuda_of_the_same_versions(tmp_path: Path) -> None:
    """`make install CPU=1` by a real pip, from a folder that has all builds in place of the indexes."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    names = ("safetensors", "torch", "torchvision")
    (tmp_path / "requirements.txt").write_text("".join(f"{name}=={PINS[name]}\n" for name in names))
    for name in names:
        wheel(wheels, name, PINS[name])
    for name in names[1:]:
        wheel(wheels, name, f"{PINS[name]}+cpu")
    surroundings = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    subprocess.run(
        ["make", "install", "CPU=1"], cwd=tmp_path, env=surroundings, check=True, capture_output=True
    )
    freeze = [tmp_path / ".venv/bin/python", "-m", "pip", "freeze"]
    listed = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout
    assert listed.split() == [
        f"safetensors=={PINS['safetensors']}",
        f"torch=={PINS['torch']}+cpu",
        f"torchvision=={PINS['torchvision']}+cpu",
    ]
