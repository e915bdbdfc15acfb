"""The whole workflow through DVC, in scratch copies at a handful of iterations, as a user runs it.

The first copy runs every stage once, watched by tests/audit; a second is killed in the middle of a training and run
again; experiments are made in a copy of the first. Each test asserts what it needs and names what it costs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from sgr.plan.meaning import meaning
from sgr.plan.params import load as load_params
from sgr.plan.pipeline import write as write_pipeline
from tests.scratch import ROWS as ROWS_FILE
from tests.scratch import (
    checked,
    commit,
    copy_checkout,
    dvc,
    environment,
    files_under,
    parameters,
    run,
    stage,
)
from tests.scratch import ran as addresses

# A copy on a busy machine may need longer than the whole file has elsewhere.
pytestmark = [pytest.mark.dag, pytest.mark.timeout(2400)]

AUDIT = Path(__file__).parent / "audit"
OWN_K = "camvid-fcn-sgr-no-token-supervision"
CAMVID = ("table_camvid", "figures_camvid")
HANDFUL = {
    "profile": "mini",
    "profiles.mini.seeds": [0],
    "profiles.mini.generated": {"images": {"train": 4, "test": 2}, "size": [48, 56], "seed": 0},
    "profiles.mini.sgr": {"K": 12, "L": 4, "D": 16, "heads": 2, "beta": 1.0},
    "profiles.mini.glore": {"K": 12, "D": 16},
    "profiles.mini.sweep": {"K": [6, 12], "L": [2, 12]},
    "profiles.mini.training.iterations": 6,
    **{
        f"profiles.mini.families.{family}.training.{key}": value
        for family in ("upernet", "segformer", "maskformer", "mask2former")
        for key, value in {"iterations": 6, "crop": [32, 32], "warmup": 1}.items()
    },
    "profiles.mini.training.batch_size": 2,
    "profiles.mini.training.crop": [32, 32],
    "profiles.mini.training.warmup": 1,
    "profiles.mini.training.log_every": 1,
    "profiles.mini.detection.min_sizes": [48],
    "profiles.mini.detection.training.iterations": 4,
    "profiles.mini.detection.training.batch_size": 2,
    "profiles.mini.detection.training.milestones": [3],
    "profiles.mini.detection.training.warmup": 1,
    "profiles.mini.detection.training.log_every": 1,
    "profiles.mini.inference.scales": [0.5, 1.0],
    f"rows.{OWN_K}.sgr": {"beta": 0.0, "K": 10},
}

# Every family, unit, classifier and dataset, in as few rows as hold them; CamVid whole.
ROWS = (
    *("camvid-fcn", "camvid-fcn-glore", "camvid-fcn-sgr", OWN_K),
    *("cityscapes-fcn-sgr", "cityscapes-mask2former", "ade20k-deeplabv3-sgr", "ade20k-upernet-sgr"),
    *("ade20k-hrnet-protoseg", "cocostuff10k-maskformer", "cocostuff10k-mask2former-sgr"),
    *("cocostuff10k-segformer-sgr", "cocostuff10k-segformer-protoseg"),
)

# A start of weights, and one of a row that is among them.
TRANSFER = {
    "coco-imagenet": {"start": "weights/resnet101"},
    "coco-sgr": {"start": "train/camvid-fcn-sgr"},
}

Say = Callable[[str], None]


@pytest.fixture(scope="module")
def say(request: pytest.FixtureRequest) -> Iterator[Say]:
    """Print past pytest's capture: these tests take minutes, and should show how far they are."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    began = time.monotonic()

    def print_now(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  {time.monotonic() - began:5.0f} s  {line}", end="", flush=True)

    yield print_now


def scratch(root: Path) -> Path:
    """A fresh copy of the checkout with a handful of rows and iterations, committed."""
    copy_checkout(root)
    rows = {f"rows.{name}": ... for name in parameters()["rows"] if name not in ROWS}
    write_pipeline(checked(root, {**HANDFUL, **rows, "transfer": TRANSFER}), root)
    commit(root)
    return root


def short(address: str) -> str:
    """A stage as people call it: train@camvid-fcn for stages/camvid/camvid-fcn/dvc.yaml:train@mini, else table1."""
    path, _, name = address.rpartition(":")
    kind = name.partition("@")[0]
    return f"{kind}@{Path(path).parent.name}" if path else kind


def ran(output: str) -> list[str]:
    """The stages that a DVC command ran, in order."""
    return [short(address) for address in addresses(output)]


def stages_of(root: Path) -> list[str]:
    """All stages of the copy."""
    listed = run(root, "dvc", "stage", "list", "--all", "--name-only")
    assert listed.returncode == 0, listed.stderr
    return listed.stdout.split()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, say: Say) -> Path:
    """A copy in which every stage ran once, from scratch, watched by the audit hook (some minutes)."""
    root = scratch(tmp_path_factory.mktemp("whole") / "copy")
    stages, began = stages_of(root), time.monotonic()
    done: list[str] = []

    def count(name: str) -> None:
        done.append(name)
        say(f"[{len(done)}/{len(stages)}] {short(name)}")

    dvc(root, "repro", say=count, PYTHONPATH=str(AUDIT), SGR_AUDIT=str(root.parent / "audit"))
    say(f"the whole DAG took {time.monotonic() - began:.0f} s")
    assert sorted(done) == sorted(stages)
    return root


@pytest.fixture(scope="module")
def lock(whole: Path) -> dict[str, Any]:
    """Every stage of the whole copy as DVC resolved it: cmd, deps, outs."""
    found = {}
    for path in whole.rglob("dvc.lock"):
        folder = "" if path.parent == whole else f"{path.parent}/dvc.yaml:"
        stages = yaml.safe_load(path.read_text())["stages"]
        found |= {short(folder + name): entry for name, entry in stages.items()}
    return found


def test_every_table_and_figure_is_there(whole: Path, lock: dict[str, Any]) -> None:
    expected = {"results/mini/" + name for table in ("1", "2", "3", "4", "_camvid") for name in tables(table)}
    figures = {"sweep", "components_cityscapes", "average_precision", "curves_coco"}
    for dataset in parameters()["datasets"]:
        figures |= {f"{kind}_{dataset}" for kind in ("tokens", "predictions", "class_iou", "curves")}
    expected |= {f"results/mini/figures/{name}.{kind}" for name in figures for kind in ("png", "pdf")}
    expected |= {f"results/mini/claims.{kind}" for kind in ("md", "csv", "json")}
    expected |= {f"results/mini/{name}" for name in ("sweep.csv", "sweep.md")}
    expected |= {"results/mini/index.html", "results/mini/page"}
    assert "results/README.md" in {out["path"] for out in lock["entrance"]["outs"]}
    outs = {out["path"] for entry in lock.values() for out in entry["outs"]}
    assert expected <= outs
    for path in expected | {out for out in outs if out.startswith("results/")}:
        assert (whole / path).stat().st_size > 0, path
    for path in expected:
        if path.endswith(".png"):
            with Image.open(whole / path) as image:
                image.load()
                assert min(image.size) > 100, path
        if path.endswith(".md"):
            headline = (whole / path).read_text().splitlines()[0]
            assert "enerated" in headline or headline == "No row is trained yet."  # of the few rows here


def tables(name: str) -> tuple[str, str, str]:
    return f"table{name}.md", f"table{name}.csv", f"table{name}.tex"


def test_the_rows_hold_every_kind() -> None:
    """Of all rows: each dataset, and each family, unit and classifier, on each kind of backbone it has."""

    def kinds(names: Iterable[str]) -> set[Any]:
        rows = {name: parameters()["rows"][name] for name in names}
        alone = {(key, row.get(key)) for row in rows.values() for key in ("dataset", "unit", "backbone")}
        return alone | {(row["family"], row.get("prototypes", False)) for row in rows.values()}

    swin_b = {
        ("backbone", "swin_b"),
        ("upernet", True),
    }  # of the same files as Swin-T and the other prototypes
    assert kinds(parameters()["rows"]) - swin_b == kinds(ROWS)


def test_every_row_has_its_results(whole: Path) -> None:
    rows = load_params(whole / "params.yaml").rows
    assert rows.keys() == {*ROWS}
    for name, row in rows.items():
        result = json.loads((whole / f"results/mini/{row.dataset}/{name}.json").read_text())
        assert list(result["seeds"]) == ["0"]
        assert (whole / f"results/mini/curves/{row.dataset}/{name}.csv").read_text().count("\n") == 7
        if row.has_regions:
            assert (whole / f"results/mini/{row.dataset}/{name}.semantics.json").exists()


def test_every_row_of_table_3_has_its_results(whole: Path) -> None:
    for name in TRANSFER:
        result = json.loads((whole / f"results/mini/coco/{name}.json").read_text())
        assert len(result["seeds"]["0"]["val2017"]) == 12 + 4  # AP, what was seen, whether anything was found
        assert (whole / f"results/mini/curves/coco/{name}.csv").read_text().count("\n") == 5


def test_nothing_is_left_aside(whole: Path) -> None:
    left = [path for path in whole.rglob("*.aside") if ".dvc" not in path.parts]
    left += list((whole / "data" / "generated").glob(".*"))
    assert left == []


def test_again_does_nothing(whole: Path, say: Say) -> None:
    began = time.monotonic()
    output = dvc(whole, "repro")
    say(f"dvc repro with nothing to do took {time.monotonic() - began:.1f} s")
    assert ran(output) == []
    assert "Data and pipelines are up to date." in output
    assert run(whole, "git", "status", "--porcelain", "--untracked-files=no").stdout == ""


# What a stage may read beside what it declares, with the reason.
PLUMBING = (
    # where and when a job runs, not what it computes: it may change without making a result stale
    "sgr/jobs/*",
    "sgr/watch/beside.py",
    "sgr/machine.py",
    "sgr/yaml_files.py",
    "sgr/project.py",
    # names of datasets, for the folders in cluster.yaml
    "sgr/datasets/__init__.py",
    "sgr/download/layout.py",
    "cluster.yaml",
    # from a plan entry to jobs, whose content keys hold all that decides; the types of what stands in entries
    "sgr/kinds.py",
    "sgr/plan/*",
    "sgr/*/settings.py",
    # artefacts under content keys that hold all their inputs, each checked against its SHA-256 when taken
    "jobs/*",
    # a bytecode folder
    "*/__pycache__",
    # an exception class; writing whole files or none; names that load late; a docstring
    "sgr/errors.py",
    "sgr/files.py",
    "sgr/__init__.py",
    "stages/__init__.py",
    # plan compares them with what they would be
    "dvc.yaml",
    "stages/*/dvc.yaml",
    # a copy is kept of what a killed DVC may cut
    "sgr/cli/dvc_lock.py",
    "dvc.lock",
    "stages/*/dvc.lock",
    # DVCLive looks whether it runs in an experiment; nothing of it reaches a result
    ".git/*",
    ".dvc/*",
    ".gitignore",
    ".dvcignore",
)


def traces(folder: Path) -> dict[str, set[str]]:
    """What the processes of each command read and listed: command line -> paths relative to the copy."""
    found: dict[str, set[str]] = {}
    for path in folder.glob("*.jsonl"):
        first, *events = [json.loads(line) for line in path.read_text().splitlines()]
        read = found.setdefault("python " + " ".join(first["command"]), set())
        read |= {event.get("read") or event["list"] for event in events}
    return found


def undeclared(root: Path, entry: dict[str, Any], read: Iterable[str]) -> list[str]:
    """The paths that a stage read although neither dvc.yaml nor its plan entry says so.

    Said are: the dependencies of `entry` (its part of dvc.lock) and what lies below them, its own outs, params.yaml
    where it has `params`, the `code` and `scripts` of the plan entry it depends on, and the generated images whose
    name holds the hash of the manifest it depends on or writes. Exempt are `PLUMBING`, the folders that Python's
    importer lists, and bytecode, which stands for its source. safetensors opens weights by itself, unseen;
    `store.take` and `sgr.plan.jobs` hash the same files before.
    """
    own = [dep["path"] for dep in entry.get("deps", [])] + [out["path"] for out in entry["outs"]]
    said = {*own, *(["params.yaml"] if "params" in entry else [])}
    for path in own:
        if fnmatch(path, "work/*/plan/*/*.json"):
            plan = json.loads((root / path).read_text())
            said |= {*plan["code"]["sources"], *plan["scripts"]}
            for of_pairs in ("train_code", "evaluate_code"):  # of the sweep's jobs
                said |= plan["settings"].get(of_pairs, {"sources": {}})["sources"].keys()
        if fnmatch(path, "work/*/data/*.json"):
            digest = hashlib.sha256((root / path).read_bytes()).hexdigest()[:16]
            said.add(f"data/generated/{Path(path).stem}-{digest}")
            if path in {out["path"] for out in entry["outs"]}:
                said.add(f"data/generated/.{Path(path).stem}")  # while it is being made
    listed_by_import = {"stages", *(str(Path(path).parent) for path in read if path.endswith(".py"))}
    # plan looks for pipeline files of nothing
    listed_by_import |= {str(path.parent.relative_to(root)) for path in (root / "stages").rglob("dvc.yaml")}
    listed_by_import |= {"stages/weights"}
    allowed = [*PLUMBING, *said, *(f"{path}/*" for path in said)]
    return sorted(
        path
        for path in read
        if path not in listed_by_import
        and not any(fnmatch(path, pattern) for pattern in allowed)
        and not is_docstring(root / path)
    )


def is_docstring(path: Path) -> bool:
    """Whether a file is the docstring of a package and nothing else."""
    return path.name == "__init__.py" and meaning(path.read_bytes()) == meaning(b"pass")


def test_stages_read_what_they_declare(whole: Path, lock: dict[str, Any]) -> None:
    read = traces(whole.parent / "audit")
    assert {entry["cmd"] for entry in lock.values()} == read.keys()
    found = {name: undeclared(whole, entry, read[entry["cmd"]]) for name, entry in lock.items()}
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_the_audit_sees_what_it_should(whole: Path, lock: dict[str, Any]) -> None:
    read = traces(whole.parent / "audit")

    def of(name: str) -> set[str]:
        return read[lock[name]["cmd"]]

    row = "camvid-fcn-sgr"
    assert {"params.yaml", "requirements.txt", "sgr/unit.py"} <= of("plan")
    assert {"sgr/unit.py", "sgr/losses.py", f"work/mini/plan/train/{row}.json"} <= of(f"train@{row}")
    assert "work/mini/components/camvid.zip" in of(f"train@{row}")
    assert any(fnmatch(path, "data/generated/camvid-*/trainannot/*.png") for path in of(f"train@{row}"))
    assert {"sgr/evaluation/miou.py", f"work/mini/train/{row}/0/job.json"} <= of(f"evaluate@{row}")
    assert {"sgr/report/tables.py", f"results/mini/camvid/{row}.json"} <= of("table_camvid")


def test_undeclared_reads_are_found(whole: Path, lock: dict[str, Any], tmp_path: Path) -> None:
    name = "table_camvid"
    read = traces(whole.parent / "audit")[lock[name]["cmd"]]
    fewer = [dep for dep in lock[name]["deps"] if "/plan/" not in dep["path"]]
    assert "sgr/report/tables.py" in undeclared(whole, {**lock[name], "deps": fewer}, read)

    root = shutil.copytree(whole, tmp_path / "copy", ignore=shutil.ignore_patterns(".git", "cache"))
    shutil.rmtree(root / "jobs")
    script = root / "stages" / "table.py"
    careless = "import sgr.connected\nfrom pathlib import Path\nlist(Path('work/mini/evaluate').iterdir())\n"
    script.write_text(script.read_text() + careless + "Path('requirements.txt').read_text()\n")
    watched = stage(root, "table", "mini", name, PYTHONPATH=str(AUDIT), SGR_AUDIT=str(tmp_path / "audit"))
    assert watched.returncode == 0, watched.stderr
    (read,) = traces(tmp_path / "audit").values()
    expected = ["requirements.txt", "sgr/connected.py", "work/mini/evaluate"]
    assert undeclared(root, lock[name], read) == expected


def job_folders(root: Path) -> dict[str, dict[str, Any]]:
    """Job by key: kind, row, seed, and how many workers started on it."""
    found = {}
    for path in (root / "jobs").glob("*/job.json"):
        job = json.loads(path.read_text())
        row = json.loads((path.parent / "where.json").read_text())["row"]
        attempts = len((path.parent / "attempts.txt").read_text().splitlines())
        found[path.parent.name] = {"job": (job["kind"]["name"], row, job["seed"]), "attempts": attempts}
    return found


def new_jobs(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, int]]:
    """The jobs that were made since; no older one may have run again."""
    assert {key: after[key] for key in before} == before, "a finished job was started again"
    return sorted(after[key]["job"] for key in after.keys() - before.keys())


@pytest.fixture(scope="module")
def lab(whole: Path, tmp_path_factory: pytest.TempPathFactory, say: Say) -> Path:
    """A copy of the whole copy to experiment in, with its results committed as a user would."""
    say("experiments, on CamVid's rows")
    root = shutil.copytree(whole, tmp_path_factory.mktemp("lab") / "copy")
    for arguments in (["add", "--all"], ["commit", "--quiet", "--message=Results"]):
        assert run(root, "git", *arguments).returncode == 0
    return root


def test_editing_a_figures_code_trains_nothing(lab: Path, say: Say) -> None:
    jobs = job_folders(lab)
    style = lab / "sgr" / "report" / "style.py"
    style.write_text(style.read_text() + "# edited\n")
    assert ran(dvc(lab, "repro", *CAMVID, say=say)) == ["plan"], "a comment means nothing"
    style.write_text(style.read_text() + "EDITED = True\n")
    assert sorted(ran(dvc(lab, "repro", *CAMVID, say=say))) == ["figures_camvid", "plan"]
    assert new_jobs(jobs, job_folders(lab)) == []


def test_K_retrains_the_sgr_rows_that_do_not_set_it(lab: Path, say: Say) -> None:
    jobs = job_folders(lab)
    output = dvc(lab, "exp", "run", "--set-param", "sgr.K=8", "table_camvid", say=say)
    kinds, row = ("evaluate", "semantics", "train"), "camvid-fcn-sgr"
    assert sorted(ran(output)) == sorted([*(f"{kind}@{row}" for kind in kinds), "plan", "table_camvid"])
    assert new_jobs(jobs, job_folders(lab)) == [(kind, row, 0) for kind in kinds]


def test_another_seed_trains_that_seed(lab: Path, say: Say) -> None:
    jobs = job_folders(lab)
    content = yaml.safe_load((lab / ROWS_FILE).read_text())
    content["rows"]["camvid-fcn"]["seeds"] = [0, 1]
    (lab / ROWS_FILE).write_text(yaml.safe_dump(content, sort_keys=False))
    output = dvc(lab, "repro", "table_camvid", say=say)
    assert sorted(ran(output)) == ["evaluate@camvid-fcn", "plan", "table_camvid", "train@camvid-fcn"]
    assert new_jobs(jobs, job_folders(lab)) == [("evaluate", "camvid-fcn", 1), ("train", "camvid-fcn", 1)]
    result = json.loads((lab / "results/mini/camvid/camvid-fcn.json").read_text())
    assert list(result["seeds"]) == ["0", "1"]


def test_queued_experiments_find_the_jobs_of_the_repository(lab: Path, say: Say) -> None:
    """In DVC's temporary workspace, back at the first K: every stage that runs takes a job that has finished."""
    jobs = job_folders(lab)
    dvc(lab, "exp", "run", "--queue", "--name", "queued", "--set-param", "sgr.K=null", "table_camvid")
    output = dvc(lab, "exp", "run", "--run-all", say=say)
    references = run(lab, "git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    (queued,) = [name for name in references if name.endswith("/queued")] or pytest.fail(output)
    assert new_jobs(jobs, job_folders(lab)) == []
    path = "results/mini/camvid/camvid-fcn-sgr.json"
    assert shown(lab, queued, path) == shown(lab, "main", path) != (lab / path).read_text()


def shown(root: Path, reference: str, path: str) -> str:
    """A file as a git reference holds it."""
    return run(root, "git", "show", f"{reference}:{path}").stdout


def test_a_mistake_stops_dvc_before_any_work(lab: Path) -> None:
    jobs = job_folders(lab)
    content = yaml.safe_load((lab / "params.yaml").read_text())
    content["sgr"]["K"] = 0
    (lab / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    failed = run(lab, "dvc", "repro", "table_camvid")
    assert failed.returncode != 0
    assert "error: params.yaml: sgr.K" in failed.stderr and "Traceback" not in failed.stderr
    assert ran(failed.stdout) == ["plan"] and new_jobs(jobs, job_folders(lab)) == []


def test_killed_in_training_and_run_again_gives_the_same_bytes(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, say: Say
) -> None:
    """Also: two runs from scratch, in two folders, agree in every byte of results/mini."""
    root = scratch(tmp_path_factory.mktemp("killed") / "copy")
    killed = kill_in_training(root)
    assert not (killed / "done.json").exists() and (killed / "checkpoint.pt").exists()
    say(f"killed by SIGKILL in {killed.name}")
    assert not (root / "results" / "mini" / "table_camvid.md").exists()

    dvc(root, "repro", *CAMVID, say=say)
    jobs = job_folders(root)
    assert [key for key, job in jobs.items() if job["attempts"] > 1] == [killed.name]
    results, expected = files_under(root / "results" / "mini"), files_under(whole / "results" / "mini")
    camvid = {name for name in expected if "camvid" in name and not name.startswith("page/")}
    assert results.keys() == camvid and len(camvid) > 12
    assert [name for name in camvid if results[name] != expected[name]] == []


def kill_in_training(root: Path, timeout: float = 600) -> Path:
    """Run DVC and kill it with all its children once a training has written a checkpoint; that job's folder."""
    variables = environment(root, SGR_CHECKPOINT_SECONDS="0")
    log = root.parent / "killed.txt"
    deadline = time.monotonic() + timeout
    with (
        open(log, "wb") as output,
        subprocess.Popen(
            ["dvc", "repro", *CAMVID],
            cwd=root,
            env=variables,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            while process.poll() is None and time.monotonic() < deadline:
                if checkpoints := list((root / "jobs").glob("*/checkpoint.pt")):
                    return checkpoints[0].parent
                time.sleep(0.002)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError("no checkpoint was seen:\n" + log.read_text()[-2000:])
