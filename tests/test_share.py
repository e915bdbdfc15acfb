"""A second person: what one trained, another pulls into a clone, where nothing trains again (docs/share.md)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from tests import readme
from tests.readme import ROOT
from tests.scratch import files_under, ran, run

pytestmark = [pytest.mark.dag, pytest.mark.timeout(1200)]

REMOTE, AFTER_A_RUN, CLONE = readme.blocks((ROOT / "docs/share.md").read_text(), "bash")
TARGETS = ("table_camvid", "figures_camvid")
NEW = "camvid-fcn-sgr-few-tokens"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clone of somebody else, after the commands of the page."""
    mine = readme.playground(tmp_path_factory.mktemp("share") / "mine")
    targets = " ".join(TARGETS)
    readme.script(mine, REMOTE.replace("/shared/sgr", "../shared"))
    readme.script(mine, f'make repro TARGETS="{targets}"')
    readme.script(mine, AFTER_A_RUN)
    # nothing of the first person's is in reach of the second but the remote and what git carries
    there = CLONE.replace(
        "git clone REPOSITORY theirs\ncd theirs", "git clone --quiet . ../theirs\ncd ../theirs"
    )
    there = there.replace("make install", "cp --recursive --no-dereference ../mine/.venv .")
    said = readme.script(
        mine, there.replace("dvc repro", f"mkdir ../away\nmv ../mine ../shared ../away\ndvc repro {targets}")
    )
    assert ran(said) == []
    assert "Data and pipelines are up to date." in said
    return mine.parent / "theirs"


@pytest.fixture(scope="module")
def mine(theirs: Path) -> Path:
    return theirs.parent / "away/mine"


def test_weights_regions_and_tables_are_those_of_the_first(theirs: Path, mine: Path) -> None:
    for folder in ("work/mini/train", "work/mini/tokens", "work/mini/evaluate", "results/mini"):
        found = files_under(theirs / folder)
        assert found and found == files_under(mine / folder), folder
    assert (theirs / "work/mini/train/camvid-fcn-sgr/0/model.safetensors").exists()
    assert (theirs / "results/mini/table_camvid.md").exists()


def test_no_job_is_run_and_nothing_is_changed(theirs: Path) -> None:
    done = run(theirs, sys.executable, "-m", "sgr", "submit", "--here", *TARGETS)
    assert done.returncode == 0, done.stderr
    assert [path for path in (theirs / "jobs").glob("*") if path.is_dir()] == []
    assert run(theirs, "git", "status", "--porcelain").stdout == ""


def test_the_network_of_the_first_sees_a_photograph_of_the_second(theirs: Path) -> None:
    readme.script(theirs, "python -m sgr predict camvid-fcn-sgr photo.jpg")
    assert files_under(theirs / "predictions/camvid-fcn-sgr/photo")


def test_a_new_row_asks_for_the_images_and_is_all_that_trains(theirs: Path) -> None:
    rows = yaml.safe_load((theirs / "params/rows.yaml").read_text())
    rows["rows"][NEW] = rows["rows"]["camvid-fcn-sgr"] | {"sgr": {"K": 6, "L": 2}}
    (theirs / "params/rows.yaml").write_text(yaml.safe_dump(rows, sort_keys=False))
    repro = f"python -m sgr pipeline\npython -m sgr repro train@{NEW}"
    refused = run(theirs, "bash", "-c", repro)
    command = "python -m sgr repro --force --single-item download@camvid"
    assert refused.returncode and f"is missing: run `{command}`" in refused.stderr
    assert command in (ROOT / "docs/share.md").read_text()
    said = readme.script(theirs, f"{command}\n{repro}")
    assert [name.rpartition("/")[2] for name in ran(said)] == [
        "dvc.yaml:download@mini",
        "dvc.yaml:train@mini",
    ]
    assert len(list((theirs / "jobs").glob("*/job.json"))) == 1
