"""cluster.yaml, the environment and the repository's root."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sgr.errors import UserError
from sgr.jobs.cluster import Slurm, main_root, minutes
from sgr.jobs.slurm.check import check
from sgr.machine import Machine, settings

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in Machine.model_fields:
        monkeypatch.delenv(Machine.variable(key), raising=False)


def test_nothing_set(tmp_path: Path) -> None:
    cluster = settings(tmp_path)
    assert cluster.executor == "inline" and cluster.jobs == tmp_path / "jobs"
    assert cluster.data is None and cluster.data_folder("camvid") is None


def test_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cluster.yaml").write_text(
        "executor: slurm\ndata: sets\nslurm: {partition: gpu, gpus_per_job: 2}\n"
    )
    cluster = settings(tmp_path)
    assert (cluster.executor, cluster.slurm.partition, cluster.slurm.gpus_per_job) == ("slurm", "gpu", 2)
    assert cluster.data_folder("camvid") == tmp_path / "sets" / "camvid"
    monkeypatch.setenv("SGR_EXECUTOR", "local")
    monkeypatch.setenv("SGR_DATA", "/elsewhere")
    monkeypatch.setenv("SGR_JOBS", "/scratch/jobs")
    cluster = settings(tmp_path)
    assert cluster.executor == "local" and cluster.slurm.partition == "gpu"
    assert cluster.data_folder("camvid") == Path("/elsewhere/camvid") and cluster.jobs == Path(
        "/scratch/jobs"
    )


def test_one_folder_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text("data: {camvid: /a/CamVid}\n")
    assert settings(tmp_path).data_folder("camvid") == Path("/a/CamVid")
    assert settings(tmp_path).data_folder("ade20k") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("exekutor: slurm", "unknown key `exekutor`"),
        ("slurm: {partitoin: gpu}", "unknown key `slurm.partitoin`, did you mean `partition`?"),
        ("executor: pbs", "`executor` is 'pbs'"),
        ("slurm: {time: 10}", "`slurm.time` is 10"),
        (
            "slurm: {time: '0:29:00'}",
            "`slurm.time` is '0:29:00': Input should be greater than or equal to 30",
        ),
        ("slurm: {time: a day}", "`slurm.time` is 'a day': a time is minutes, HH:MM:SS or D-HH:MM:SS"),
        ("slurm: {cpus: many}", "`slurm.cpus` is 'many'"),
        ("slurm: {cpus: true}", "`slurm.cpus` is True"),
        ("slurm: {memory_gb: 0}", "`slurm.memory_gb` is 0"),
        ("slurm: {modules: cuda/12}", "`slurm.modules` is 'cuda/12'"),
        ("slurm: {gpus_per_job: 4, nodes: 3}", "`slurm`: nodes = 3 must divide gpus_per_job = 4"),
        ("slurm: {gpus_per_job: 0, processes: 2, nodes: 4}", "nodes = 4 must divide processes = 2"),
        ("slurm: {gpus_per_job: 2, processes: 4}", "processes = 4 must be gpus_per_job = 2"),
        ("slurm: {gpus_per_job: two}", "`slurm.gpus_per_job` is 'two'"),
        ("- executor", "must hold keys and their values"),
        ("executor: [", "not valid YAML"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "cluster.yaml").write_text(text)
    with pytest.raises(UserError, match=r"cluster\.yaml") as caught:
        settings(tmp_path)
    assert sentence in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGR_EXECUTOR", "pbs")
    with pytest.raises(UserError, match=r"SGR_EXECUTOR=pbs"):
        settings(tmp_path)


@pytest.mark.parametrize(
    "workspace", [".dvc/tmp/exps/tmpab1c", ".dvc/tmp/exps/standalone/tmpab1c/stages", "stages"]
)
def test_root_from_workspaces_of_dvc(tmp_path: Path, workspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dvc.yaml").touch()
    folder = tmp_path / workspace
    folder.mkdir(parents=True)
    if "exps" in workspace:
        (folder / "dvc.yaml").touch()
    assert main_root(folder) == tmp_path
    monkeypatch.chdir(folder)
    assert settings().jobs == tmp_path / "jobs"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("90", 90),
        ("'90'", 90),
        ("30:01", 31),
        ("24:00:00", 24 * 60),  # a sexagesimal number to YAML 1.1
        ("1-12", 36 * 60),
        ("1-00:30", 24 * 60 + 30),
        ("2-00:00:00", 48 * 60),
    ],
)
def test_time_as_sbatch_takes_it(tmp_path: Path, time: str, expected: int) -> None:
    (tmp_path / "cluster.yaml").write_text(f"slurm: {{time: {time}}}\n")
    assert settings(tmp_path).slurm.time == expected


def test_a_process_a_gpu_unless_there_is_none() -> None:
    assert [Slurm(gpus_per_job=gpus).processes for gpus in (0, 1, 4)] == [1, 1, 4]
    assert Slurm(gpus_per_job=0, processes=4, nodes=2).processes == 4


def test_missing_module_ends_the_job() -> None:
    asked = Slurm(modules=["cuda/12", "gcc 13"], setup=["export A=1"])
    assert asked.setup_lines == [
        "module load cuda/12 || exit 1",
        "module load 'gcc 13' || exit 1",
        "export A=1",
    ]


SINFO = """cpu*|20|(null)|192000|48|(null)|2-00:00:00
gpu|6|a100,ib|515000|64|gpu:a100:4(S:0-1)|1-00:00:00
gpu|2|v100|257000+|40+|gpu:v100:8,shard:8|1-00:00:00
long|20|(null)|192000|48|(null)|infinite
"""


@pytest.fixture
def sinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster larger than a test can have: what its sinfo prints."""
    program = tmp_path / "bin" / "sinfo"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{SINFO}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"partition": "gqu"}, "`slurm.partition` is gqu, but the partitions here are cpu, gpu, long"),
        ({"partition": "gpu,gqu"}, "`slurm.partition` is gpu,gqu"),
        (
            {"partition": "gpu", "constraint": "[a100|h100]&ib"},
            "`slurm.constraint` is [a100|h100]&ib, but the nodes of the partition have a100, ib, v100",
        ),
        ({"memory_gb": 256}, "`slurm.memory_gb` is 256, but the largest node has 187"),
        ({"partition": "gpu", "cpus": 96}, "`slurm.cpus` is 96, but the largest node has 64"),
        (
            {"partition": "gpu", "cpus": 20, "gpus_per_job": 8, "nodes": 2},
            "`slurm.cpus` is 20, which makes 80 a node, but the largest node has 64",
        ),
        ({"gpus_per_job": 1}, "`slurm.gpus_per_job` is 1, but the largest node has 0"),
        (
            {"partition": "gpu", "gpus_per_job": 32, "nodes": 2, "cpus": 1},
            "`slurm.gpus_per_job` is 32, which makes 16 a node, but the largest node has 8",
        ),
        ({"processes": 21, "nodes": 21}, "`slurm.nodes` is 21, but the partition has 20"),
        ({"time": "3-0"}, "`slurm.time` is 4320 minutes, but the partition allows 2880 minutes"),
    ],
)
def test_what_no_node_has_is_refused_by_name(sinfo: None, asked: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=r"^cluster\.yaml: ") as caught:
        check(Machine(slurm=Slurm.model_validate({"gpus_per_job": 0, **asked})))
    assert sentence in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_what_some_node_has_is_accepted(sinfo: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in (
        Slurm(gpus_per_job=0),
        Slurm(partition="gpu", constraint="a100*2&ib", gpus_per_job=8, nodes=2, cpus=8, memory_gb=500),
        Slurm(partition="cpu,long", time=3 * 24 * 60, gpus_per_job=0),
    ):
        check(Machine(slurm=asked))
    monkeypatch.setenv("PATH", "/nowhere")
    check(Machine(slurm=Slurm(partition="anything")))


def test_example_documents_every_setting_and_its_default() -> None:
    text = (ROOT / "cluster.example.yaml").read_text()
    example = YAML(typ="safe", pure=True).load(text)
    cluster = Machine.model_validate(example)
    assert set(example) == set(Machine.model_fields)
    assert list(example["slurm"]) == list(Slurm.model_fields)

    described = re.split(r"^ *(\w+):", text, flags=re.MULTILINE)
    comments = dict(zip(described[1::2], described[2::2], strict=True))
    fields = {**Machine.model_fields, **Slurm.model_fields}
    del fields["slurm"]
    for name, field in fields.items():
        told = re.search(r"\(default:? ([^)]*)\)", comments[name])
        assert told, f"{name}: no default is told"
        if isinstance(field.default, int | float):
            told_value = minutes(told[1]) if name == "time" else json.loads(told[1])
            assert told_value == field.default, name
        variable = re.search(r"\[(SGR_\w+)\]", comments[name])
        of_its_own = name in Machine.model_fields
        assert (Machine.variable(name) if of_its_own else None) == (variable and variable[1]), name
    assert cluster.slurm.time == 24 * 60
