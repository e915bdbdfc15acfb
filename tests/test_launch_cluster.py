"""cluster.yaml, the environment and the repository's root."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sgr.errors import UserError
from sgr.launch.cluster import ENVIRONMENT, Cluster, main_root, settings


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT.values():
        monkeypatch.delenv(name, raising=False)


def test_nothing_set(tmp_path: Path) -> None:
    cluster = settings(tmp_path)
    assert cluster.executor == "inline" and cluster.jobs == tmp_path / "jobs"
    assert cluster.data is None and cluster.data_folder("camvid") is None


def test_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cluster.yaml").write_text("executor: slurm\ndata: sets\nslurm: {partition: gpu, gpus: 2}\n")
    cluster = settings(tmp_path)
    assert (cluster.executor, cluster.slurm.partition, cluster.slurm.gpus) == ("slurm", "gpu", 2)
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
        ("slurm: {partitoin: gpu}", "unknown key `slurm.partitoin`"),
        ("executor: pbs", "`executor` is 'pbs'"),
        ("slurm: {time_minutes: 10}", "`slurm.time_minutes` is 10"),
        ("slurm: {cpus: many}", "`slurm.cpus` is 'many'"),
        ("- executor", "must be a mapping"),
        ("executor: [", "cannot be read"),
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


def test_example_documents_every_setting() -> None:
    example = yaml.safe_load((Path(__file__).parents[1] / "cluster.example.yaml").read_text())
    cluster = Cluster.model_validate(example)
    assert set(example) == set(Cluster.model_fields)
    assert set(example["slurm"]) == set(type(cluster.slurm).model_fields)
