"""The command that submits every stale job of targets: through DVC in a scratch copy, here and on a real SLURM."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from sgr.cli.submit import jobs_behind, shortened
from sgr.jobs.store import JobStore
from tests.fake_jobs import artefacts
from tests.scratch import commit, copy_checkout, files_under, parameters, run, write_parameters

ROW = "camvid-fcn-sgr"
TINY = {
    "profile": "mini",
    "profiles.mini.seeds": [0],
    "profiles.mini.generated": {"images": {"train": 4, "test": 2}, "size": [48, 56], "seed": 0},
    "profiles.mini.sgr": {"K": 12, "L": 4, "D": 16, "heads": 2, "beta": 1.0},
    "profiles.mini.training.iterations": 4,
    "profiles.mini.training.batch_size": 2,
    "profiles.mini.training.crop": [32, 32],
    "profiles.mini.training.warmup": 1,
    "profiles.mini.training.log_every": 1,
    "profiles.mini.inference.scales": [1.0],
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the checkout with one row of CamVid at a handful of iterations."""
    root = copy_checkout(tmp_path / "copy")
    gone = {f"rows.{name}": ... for name in parameters()["rows"] if name != ROW}
    transfer = {"coco-imagenet": {"start": "weights/resnet101"}}
    write_parameters(root, {**TINY, **gone, "transfer": transfer})
    sgr(root, "pipeline")
    commit(root)
    return root


def sgr(root: Path, *arguments: str, **variables: str) -> str:
    """Output of `python -m sgr` with these arguments, which must succeed."""
    done = run(root, sys.executable, "-m", "sgr", *arguments, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slurm
def test_slurm_and_here_give_the_bytes_of_inline(repository: Path) -> None:
    """A row through DVC: jobs that SLURM ran ahead, and one by one in their stages; and side by side here."""
    root, found = repository, {}
    asked = {"time": 30, "memory_gb": 1, "cpus": 1, "gpus_per_job": 0}
    targets = ("table_camvid", "semantics")
    for executor in ("slurm", "inline"):
        settings = {"executor": executor, "jobs": f"jobs-{executor}", "max_jobs": 2, "slurm": asked}
        (root / "cluster.yaml").write_text(yaml.safe_dump(settings))
        if executor == "slurm":
            said = sgr(root, "submit", *targets)
            for kind in ("train", "evaluate", "semantics"):
                assert f"{kind}: 1 submitted" in said
        sgr(root, "repro", *targets)
        found[executor] = {
            name: content
            for name, content in files_under(root / "results").items()
            if not name.startswith("provenance/")
        }
        if executor == "slurm":
            # DVC finds everything up to date: nothing is to run, though another store would be empty
            assert "up to date" in sgr(root, "submit", *targets, SGR_JOBS="jobs-empty")
            # nothing is left but the data: each stage of the row is stale again
            shutil.rmtree(root / "results")
            for name in ("train", "evaluate", "semantics", "tokens"):
                shutil.rmtree(root / "work" / "mini" / name)
            sgr(root, "submit", "--here", *targets, SGR_EXECUTOR="inline", SGR_JOBS="jobs-here")
    assert found["slurm"] == found["inline"]
    assert {"mini/table_camvid.md", "mini/camvid/camvid-fcn-sgr.semantics.json"} <= found["slurm"].keys()
    stores = [
        {folder.name: artefacts(folder) for folder in JobStore(root / f"jobs-{how}").folders()}
        for how in ("slurm", "here", "inline")
    ]
    assert stores[0] == stores[1] == stores[2] and len(stores[0]) == 3


def test_targets_are_those_of_dvc(repository: Path) -> None:
    done = run(repository, sys.executable, "-m", "sgr", "submit", "--here", "table_kitti")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: there is no stage, row or dataset 'table_kitti': did you mean table"
    )
    assert jobs_behind([]) == []


def test_ids_are_shown_in_short() -> None:
    assert shortened(["12_0", "12_1", "12_3", "15", "12_4"]) == ["12_[0-1,3-4]", "15"]
