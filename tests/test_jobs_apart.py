"""The jobs' room stands apart: it imports nothing of the project, and another project uses it as docs/jobs.md says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from tests.scratch import ROOT, dvc, environment, files_under

LEAVES = {"sgr.files", "sgr.yaml_files", "sgr.errors"}


def test_imports_stay_inside() -> None:
    graph = grimp.build_graph("sgr", cache_dir=None)
    room = {"sgr.jobs"} | graph.find_descendants("sgr.jobs")
    imported = {name: graph.find_modules_directly_imported_by(name) - room - LEAVES for name in room}
    assert {name: found for name, found in imported.items() if found} == {}
    for leaf in ("sgr.files", "sgr.yaml_files"):
        assert graph.find_modules_directly_imported_by(leaf) == {"sgr.errors"}
    assert graph.find_modules_directly_imported_by("sgr.errors") == set()


@pytest.mark.parametrize(
    "module", ["store", "worker", "ranks", "run.executors", "slurm.sbatch", "inspect.leftovers"]
)
def test_starting_needs_no_heavy_import(module: str) -> None:
    code = (
        f"import sys, sgr.jobs.{module};"
        "print([name for name in ('torch', 'submitit', 'numpy', 'grimp') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project of docs/jobs.md, in an empty folder."""
    page = (ROOT / "docs" / "jobs.md").read_text()
    for name, language in (("squares.py", "python"), ("dvc.yaml", "yaml")):
        (block,) = re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
        (tmp_path / name).write_text(block)
    return tmp_path


TOTALS = {"0/total.txt": b"332833500\n", "1/total.txt": b"332833501\n"}


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_page_runs(project: Path, executor: str) -> None:
    for attempt in range(2):
        done = subprocess.run(
            [sys.executable, "squares.py"],
            cwd=project,
            env=environment(project, PYTHONPATH=str(ROOT), JOBS_EXECUTOR=executor),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert files_under(project / "out") == TOTALS, attempt
    attempts = [path.read_text().splitlines() for path in project.glob("jobs/*/attempts.txt")]
    assert [len(lines) for lines in attempts] == [1, 1]


def test_page_is_a_stage_of_dvc(project: Path) -> None:
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    dvc(project, "repro", say=lambda stage: None, PYTHONPATH=str(ROOT))
    assert files_under(project / "out") == TOTALS
