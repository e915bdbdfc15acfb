"""Scratch copies of this checkout, its parameters with changes, and its commands as a user runs them there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sgr.plan.params import Params
from sgr.plan.params import load as load_params

ROOT = Path(__file__).resolve().parents[1]
ROWS, PROFILES = "params/rows.yaml", "params/profiles"
RAN = re.compile(r"Running stage '([^']+)'")


def parameters(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All parameters of the checkout with `{"sgr.K": 8, …}` set; the value ... deletes the key."""
    content: dict[str, Any] = {}
    for name in ("params.yaml", ROWS):
        content |= yaml.safe_load((ROOT / name).read_text())
    files = sorted((ROOT / PROFILES).glob("*.yaml"))
    content["profiles"] = {path.stem: yaml.safe_load(path.read_text()) for path in files}
    for dotted, value in (changes or {}).items():
        *path, last = dotted.split(".")
        section = content
        for key in path:
            section = section.setdefault(key, {})
        if value is ...:
            del section[last]
        else:
            section[last] = value
    return content


def write_parameters(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Write the changed parameters as `folder`/params.yaml and its params/; returns the path of params.yaml."""
    content = parameters(changes)
    files = {f"{PROFILES}/{name}.yaml": profile for name, profile in content.pop("profiles").items()}
    shared = yaml.safe_load((ROOT / ROWS).read_text()).keys() & content.keys()
    files[ROWS] = {key: content.pop(key) for key in sorted(shared)}
    for name, section in {**files, "params.yaml": content}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(yaml.safe_dump(section, sort_keys=False))
    return folder / "params.yaml"


def checked(folder: Path, changes: Mapping[str, Any] | None = None) -> Params:
    """The same, read and checked by the project."""
    return load_params(write_parameters(folder, changes))


def copy_checkout(target: Path) -> Path:
    """The files of the working tree that git does not ignore, less what runs have left: no results, no locks."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        # a file that is deleted but not yet committed is listed too
        if name.startswith("results/") or Path(name).name == "dvc.lock" or not (ROOT / name).is_file():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    return target


def copy_code(target: Path) -> Path:
    """What the plan hashes, free to be edited: sgr/, stages/ and requirements.txt."""
    for package in ("sgr", "stages"):
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", target)
    return target


def commit(root: Path) -> None:
    """Make `root` a git repository of one commit, which DVC's experiments start from."""
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["config", "user.name", "Scratch"],
        ["config", "user.email", "scratch@example.org"],
        ["add", "--all"],
        ["commit", "--quiet", "--message=Copy"],
    ):
        subprocess.run(["git", *arguments], cwd=root, env=environment(root), check=True)


def environment(root: Path, **more: str) -> dict[str, str]:
    """This process's variables without those that lead out of `root` or into the user's own settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SGR_", "GIT_", "DVC_", "PYTHON"))}
    apart = root.parent / f"{root.name}-dvc"
    return kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "OMP_NUM_THREADS": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "DVC_SITE_CACHE_DIR": str(apart / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(apart / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(apart / "system"),
        "DVC_NO_ANALYTICS": "1",
        **more,
    }


def run(root: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `root` and catch its output, whatever its exit status."""
    return subprocess.run(
        command, cwd=root, env=environment(root, **variables), capture_output=True, text=True
    )


def stage(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m stages.<first argument> <the others>`, without DVC."""
    name, *rest = arguments
    return run(root, sys.executable, "-m", f"stages.{name}", *rest, **variables)


def dvc(root: Path, *arguments: str, say: Callable[[str], None] = print, **variables: str) -> str:
    """Run a DVC command to a good end and return its output; every stage that runs is said at once.

    Raises AssertionError with the end of the output if it fails.
    """
    lines = []
    with subprocess.Popen(
        ["dvc", *arguments],
        cwd=root,
        env=environment(root, PYTHONUNBUFFERED="1", **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if match := RAN.search(line):
                say(match[1])
    assert process.returncode == 0, f"dvc {' '.join(arguments)} failed:\n" + "".join(lines[-40:])
    return "".join(lines)


def ran(output: str) -> list[str]:
    """The stages that a DVC command ran, in order."""
    return RAN.findall(output)


def files_under(folder: Path, names: Sequence[str] = ("*",)) -> dict[str, bytes]:
    """Every file below a folder by its relative path."""
    found = (path for name in names for path in folder.rglob(name) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
