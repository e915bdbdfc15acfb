"""Jobs in-process and in processes of their own: done once, resumed, never half taken for whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from sgr.errors import UserError
from sgr.files import open_aside, read_json, write_json
from sgr.jobs.failure import Ending, JobError, failure
from sgr.jobs.inspect.listing import jobs
from sgr.jobs.job import Code, Job, canonical
from sgr.jobs.project import Project
from sgr.jobs.run.executors import here, run
from sgr.jobs.snapshot import snapshot
from sgr.jobs.store import JobStore, complete
from sgr.jobs.worker import main, work
from sgr.machine import Machine
from tests.fake_jobs import COUNT, COUNTED, FAIL, LIE, MISTAKE, SURROUNDINGS, Count, Pause, artefacts, kind

pytestmark = pytest.mark.usefixtures("importable")


@pytest.fixture
def inline(tmp_path: Path) -> Machine:
    return Machine(executor="inline", jobs=tmp_path / "jobs")


@pytest.fixture
def local(tmp_path: Path) -> Machine:
    return Machine(executor="local", jobs=tmp_path / "jobs")


def on(executor: str, jobs: Path) -> Machine:
    return Machine.model_validate({"executor": executor, "jobs": jobs})


def counting(iterations: int = 5, pause: float = 0, seed: int = 7) -> Job:
    libraries = Code(libraries={"pydantic": "2", "not-installed": "1"})
    return Job(COUNT, Count(iterations), seed, code=libraries, where=Pause(pause))


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 20 s"
        time.sleep(0.02)


def runs(folder: Path) -> list[str]:
    path = folder / "runs.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_key_is_that_of_what_decides_the_result() -> None:
    train, evaluate = kind("train"), kind("evaluate")
    job = Job(
        train, {"a": 1, "b": [1.5, "x"]}, 0, {"data": "d1"}, Code({"a.py": "1"}), where={"data": "/here"}
    )
    same = Job(
        *(train, {"b": (1.5, "x"), "a": 1}, 0, {"data": "d1"}, Code({"a.py": "1"})),
        where={"data": Path("/there"), "loader_workers": 3},
        row="renamed",
        threads=2,
    )
    assert job.key == same.key and re.fullmatch("[0-9a-f]{32}", job.key)
    others = [
        replace(job, **change)
        for change in (
            {"kind": evaluate},
            {"settings": {**job.settings, "a": 2}},
            {"seed": 1},
            {"inputs": {"data": "d2"}},
            {"code": Code({"a.py": "2"})},
            {"code": Code({"a.py": "1"}, {"torch": "2"})},
        )
    ]
    assert len({job.key, *(other.key for other in others)}) == 7


def test_job_is_what_was_prepared(inline: Machine) -> None:
    job = Job(COUNT, Count(3), 7, {"data": "d1"}, Code({"a.py": "1"}), Pause(0.5), row="a row", threads=2)
    loaded = Job.load(inline.store.prepare(job, {}))
    assert loaded.key == job.key and loaded.kind == job.kind
    assert (loaded.where, loaded.row, loaded.threads) == ({"pause": 0.5}, "a row", 2)
    assert canonical(loaded.settings) == canonical(job.settings) == '{"iterations":3}'


def test_settings_that_do_not_fit_the_function_are_one_sentence(inline: Machine) -> None:
    with pytest.raises(
        UserError, match=r"fake_jobs:count: settings: iterations: Input should be a valid integer"
    ):
        run([Job(COUNT, {"iterations": "many"}, 0, where={})], inline)


def test_what_is_made_from_an_adopted_result_stays(inline: Machine) -> None:
    job, store = counting(), inline.store
    assert store.identity(job) == job.key
    folder = store.prepare(job, {"executor": "inline"})
    write_json(folder / "provenance.json", {"adopted": {"origin": "0" * 32}})
    assert store.identity(job) == job.key  # nothing has finished yet
    work(folder)
    assert store.identity(job) == job.key  # the adoption was killed before its end
    write_json(folder / "provenance.json", {"adopted": {"origin": "0" * 32}})
    complete(folder, COUNTED)
    assert store.identity(job) == "0" * 32
    (folder / "done.json").unlink()
    run([job], inline)
    assert store.identity(job) == job.key  # its own result by now


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_finishes_once_and_is_taken(executor: str, tmp_path: Path) -> None:
    cluster = on(executor, tmp_path / "jobs")
    job = counting()
    assert run([job, job], cluster) == [cluster.jobs / job.key] * 2
    (folder,) = run([job], cluster)
    assert len(runs(folder)) == 1
    taken = JobStore(cluster.jobs).take(job, ["weights.bin", "metrics/val.json"], tmp_path / "outs")
    assert [path.read_bytes() for path in taken] == [
        (folder / name).read_bytes() for name in ("weights.bin", "metrics/val.json")
    ]
    taken[0].write_bytes(b"edited")
    assert JobStore(cluster.jobs).finished(job)
    record = read_json(folder / "provenance.json")
    assert record["executor"] == executor and record["attempts"] == 1
    assert record["device"] == "cpu" and record["images_per_second"] == 1.5
    assert record["versions"] == {"pydantic": version("pydantic"), "not-installed": None}
    assert record["wall_seconds"] >= 0
    assert "iteration 5/5" in (folder / "log.txt").read_text()


def test_inline_and_local_give_the_same_bytes(tmp_path: Path) -> None:
    found = []
    for executor in ("inline", "local"):
        (folder,) = run([counting()], on(executor, tmp_path / executor))
        found.append(artefacts(folder))
    assert found[0] == found[1]


def test_two_workers_on_one_key_run_it_once(inline: Machine) -> None:
    job = counting(iterations=20, pause=0.02)
    folder = JobStore(inline.jobs).prepare(job, {"executor": "local"})
    workers = [
        subprocess.Popen([sys.executable, "-m", "sgr.jobs.worker", str(folder)], stdout=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    assert len(runs(folder)) == 1


def test_killed_worker_resumes_to_the_same_bytes(local: Machine, tmp_path: Path) -> None:
    job = counting(iterations=30, pause=0.03)
    folder = JobStore(local.jobs).folder(job)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(run, [job], local)
        eventually(lambda: "iteration 5/" in (folder / "log.txt").read_text() if runs(folder) else False)
        os.kill(int(runs(folder)[0].split()[0]), signal.SIGKILL)
        with pytest.raises(JobError, match=f"{job.key}.*killed by SIGKILL.*log.txt"):
            running.result(timeout=30)
    assert not JobStore(local.jobs).finished(job)
    run([job], local)
    assert len(runs(folder)) == 2 and not runs(folder)[1].endswith(" from 0")
    assert read_json(folder / "provenance.json")["attempts"] == 2
    (whole,) = run([job], Machine(jobs=tmp_path / "whole"))
    assert artefacts(whole) == artefacts(folder)


def launch(job: Job, cluster: Machine) -> subprocess.Popen[str]:
    code = (
        "from pathlib import Path; from sgr.machine import Machine; from fake_jobs import *;"
        "from sgr.jobs.job import Job, Code; from sgr.jobs.run.executors import run;"
        f"run([Job(COUNT, Count({job.settings.iterations}), {job.seed}, code={job.code!r}, where={job.where!r})],"
        f" Machine(executor={cluster.executor!r}, jobs=Path({str(cluster.jobs)!r})))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def test_local_job_outlives_ctrl_c_and_is_attached_to(local: Machine) -> None:
    job = counting(iterations=40, pause=0.05)
    folder = JobStore(local.jobs).folder(job)
    stage = launch(job, local)
    eventually(lambda: runs(folder))
    stage.send_signal(signal.SIGINT)
    assert "runs on" in stage.communicate(timeout=20)[1] and stage.returncode == 130
    assert not JobStore(local.jobs).finished(job)
    run([job], local)
    assert len(runs(folder)) == 1


def test_inline_job_stops_on_ctrl_c_and_resumes(inline: Machine) -> None:
    job = counting(iterations=40, pause=0.05)
    folder = JobStore(inline.jobs).folder(job)
    stage = launch(job, inline)
    eventually(lambda: (folder / "checkpoint.json").exists())
    stage.send_signal(signal.SIGINT)
    complaint = stage.communicate(timeout=20)[1]
    assert stage.returncode == 130 and "resumes" in complaint and "Traceback" not in complaint
    run([job], inline)
    assert len(runs(folder)) == 2 and not runs(folder)[1].endswith(" from 0")


def test_job_of_a_killed_stage_is_attached_to(inline: Machine, local: Machine) -> None:
    job = counting(iterations=30, pause=0.05)
    folder = JobStore(inline.jobs).folder(job)
    stage = launch(job, local)
    eventually(lambda: runs(folder))
    stage.kill()
    stage.communicate()
    run([job], inline)
    assert len(runs(folder)) == 1


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_failure_tells_its_traceback_and_is_retried(executor: str, tmp_path: Path) -> None:
    cluster = on(executor, tmp_path / "jobs")
    job = Job(FAIL, {"n": 1})
    with pytest.raises(JobError, match=r"ZeroDivisionError: the loss is not a number") as caught:
        run([job], cluster)
    folder = JobStore(cluster.jobs).folder(job)
    assert job.key in str(caught.value) and str(folder / "log.txt") in str(caught.value)
    assert "ZeroDivisionError" in (folder / "log.txt").read_text()
    assert not (folder / "done.json").exists()
    run([replace(job, where={"mended": True})], cluster)
    assert JobStore(cluster.jobs).finished(job) and not (folder / "failed.json").exists()


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_mistake_of_the_user_is_one_sentence(executor: str, tmp_path: Path) -> None:
    cluster = on(executor, tmp_path / "jobs")
    with pytest.raises(UserError, match=r"the label 9.png holds 77") as caught:
        run([Job(MISTAKE, None)], cluster)
    assert len(str(caught.value).splitlines()) == 1


def test_worker_status_for_a_mistake(inline: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    store = JobStore(inline.jobs)
    assert main(store.prepare(Job(MISTAKE, None), {"executor": "local"})) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: the label 9.png holds 77, which is no class of camvid"
    ]
    assert main(store.prepare(Job(kind("cuont"), None), {"executor": "local"})) == 2
    assert "fake_jobs:cuont, but fake_jobs has no function cuont" in capsys.readouterr().err


def test_artefact_that_was_not_written_is_an_error(inline: Machine) -> None:
    job = Job(LIE, None)
    with pytest.raises(JobError, match=r"weights\.bin"):
        run([job], inline)
    assert not JobStore(inline.jobs).finished(job)


def test_half_written_is_not_finished(inline: Machine) -> None:
    job = counting()
    store = JobStore(inline.jobs)
    folder = store.prepare(job, {"executor": "inline"})
    (folder / "weights.bin").write_bytes(b"hal")
    (folder / ".done.json.x.aside").write_text("{")
    assert not store.finished(job)
    with pytest.raises(UserError, match=r"has not finished"):
        store.take(job, ["weights.bin"], inline.jobs / "outs")
    work(folder)
    assert store.finished(job)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"weights.bin": 3}'])
def test_damaged_done_is_refused(inline: Machine, content: str) -> None:
    (folder,) = run([counting()], inline)
    (folder / "done.json").write_text(content)
    with pytest.raises(UserError, match=r"done.json is damaged"):
        run([counting()], inline)


def test_changed_artefact_is_refused_and_can_be_rerun(inline: Machine, tmp_path: Path) -> None:
    job, store = counting(), JobStore(inline.jobs)
    (folder,) = run([job], inline)
    content = (folder / "weights.bin").read_bytes()
    (folder / "weights.bin").write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"weights.bin has \d+ bytes instead of \d+: delete .*done.json"):
        run([job], inline)
    (folder / "weights.bin").write_bytes(b"X" + content[1:])
    with pytest.raises(UserError, match=r"weights.bin changed after its job finished"):
        store.take(job, ["weights.bin"], tmp_path / "outs")
    assert not list((tmp_path / "outs").iterdir())
    (folder / "weights.bin").unlink()
    with pytest.raises(UserError, match=r"weights.bin is missing"):
        store.finished(job)
    (folder / "done.json").unlink()
    run([job], inline)
    assert (folder / "weights.bin").read_bytes() == content


def test_taking_what_a_job_has_not(inline: Machine, tmp_path: Path) -> None:
    run([counting()], inline)
    with pytest.raises(
        UserError, match=r"has no curve.csv, it has metrics/val.json, provenance.json, weights.bin"
    ):
        JobStore(inline.jobs).take(counting(), ["curve.csv"], tmp_path)


def test_own_process_runs_the_code_of_its_start(local: Machine) -> None:
    job = Job(SURROUNDINGS, None, threads=3)
    (folder,) = run([job], local)
    told = read_json(folder / "told.json")
    assert told["threads"] == "3"
    assert Path(told["code"]).is_relative_to(local.jobs / "code")
    assert read_json(folder / "provenance.json")["code"] == Path(told["code"]).parents[1].name


def test_snapshot_is_keyed_by_content(tmp_path: Path) -> None:
    package = tmp_path / "sgr"
    (package / "launch" / "__pycache__").mkdir(parents=True)
    (package / "launch" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (package / "launch" / "a.py").write_text("A = 1\n")
    project = Project(package)
    first = snapshot(tmp_path / "jobs", project)
    assert first == snapshot(tmp_path / "jobs", project)
    assert [path.name for path in first.rglob("*") if path.is_file()] == ["a.py"]
    (package / "launch" / "a.py").write_text("A = 2\n")
    second = snapshot(tmp_path / "jobs", project)
    assert second != first and (first / "sgr" / "launch" / "a.py").read_text() == "A = 1\n"


# Files around a job


@pytest.mark.parametrize("name", ["where.json", "launch.json", "job.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_damaged_before_its_worker_starts(inline: Machine, name: str, content: str) -> None:
    """As of a job that waits in a queue: one sentence before any work, and the next run writes it anew."""
    folder = inline.store.prepare(counting(), {"executor": "slurm"})
    (folder / name).write_text(content)
    assert main(folder) == 2
    sentence = f"{folder}/{name} is missing or damaged: run the command again, which writes it anew"
    assert str(failure(folder, Ending("ended"))).split(": ", 1)[1] == f"{sentence} (log: {folder}/log.txt)"
    assert not runs(folder)
    run([counting()], inline)
    assert inline.store.finished(counting())


@pytest.mark.parametrize("name", ["where.json", "launch.json"])
def test_of_a_finished_job_no_result_and_no_listing_depends_on_them(
    inline: Machine, tmp_path: Path, name: str
) -> None:
    (folder,) = run([counting()], inline)
    (folder / name).write_text("{")
    assert run([counting()], inline) == [folder] and len(runs(folder)) == 1
    assert inline.store.take(counting(), COUNTED, tmp_path / "outs")
    (listed,) = jobs(inline.store)
    assert listed.state == "finished" and listed.job.key == counting().key


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"sentence": null}', '{"sentence": "", "traceback": ""}']
)
def test_damaged_failure_hides_no_other_word(inline: Machine, content: str) -> None:
    job = Job(FAIL, {"n": 1})
    with pytest.raises(JobError):
        run([job], inline)
    folder = inline.store.folder(job)
    (folder / "failed.json").write_text(content)
    first, *_, last = str(failure(folder, Ending("ended with status 1"))).splitlines()
    assert first.startswith(f"job {job.key} (fake_jobs:fail) ended with status 1 (log: {folder}/log.txt); ")
    assert last == "ZeroDivisionError: the loss is not a number"
    (folder / "job.json").write_text("{")
    assert str(failure(folder, Ending("ended"))).startswith(f"job {job.key} ended (log: ")
    run([replace(job, where={"mended": True})], inline)


@pytest.mark.parametrize("damage", ["unlink", "cut", "flip"])
def test_provenance_is_as_safe_as_the_artefacts(inline: Machine, damage: str) -> None:
    (folder,) = run([counting()], inline)
    file = folder / "provenance.json"
    content = file.read_bytes()
    assert inline.store.provenance(counting()) == read_json(file)
    if damage == "unlink":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if damage == "cut" else content.replace(b"cpu", b"gpu", 1))
    with pytest.raises(UserError, match=rf"^{file} .*: delete {folder}/done.json to run the job again$"):
        inline.store.provenance(counting())
    file.write_bytes(content)
    assert inline.store.provenance(counting()) == read_json(file)


@pytest.mark.parametrize("begin", [run, here])
def test_job_store_that_cannot_be_one(tmp_path: Path, begin: Callable[..., object]) -> None:
    """A file, a dangling link, a loop of links, below a file, and where nothing can be written."""
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("file", "dangling", "loop", "file/jobs"):
        path = tmp_path / name
        with pytest.raises(UserError) as raised:
            begin([counting()], Machine(jobs=path))
        assert str(raised.value) == (
            f"{path}, where jobs are kept, is no folder: mend that, or set `jobs` in cluster.yaml to another folder"
        )
        assert jobs(JobStore(path)) == []
    with pytest.raises(
        UserError, match=r"^/proc, where jobs are kept, cannot be written to \(.+\): mend that"
    ):
        begin([counting()], Machine(jobs=Path("/proc")))


def test_leftovers_of_a_kill_go_with_the_next_run_and_what_is_being_written_stays(inline: Machine) -> None:
    folder = inline.store.prepare(counting(), {"executor": "inline"})
    code = "import os, sys; from sgr.files import open_aside\nwith open_aside(sys.argv[1]): os.kill(os.getpid(), 9)"
    for name in ("weights.bin", "metrics/val.json"):
        assert subprocess.run([sys.executable, "-c", code, folder / name]).returncode == -signal.SIGKILL
    other = inline.jobs / ".other.aside"
    other.touch()
    assert len(list(folder.rglob(".*.aside"))) == 2
    with open_aside(folder / "slurm.json") as file:  # by who has just submitted it
        work(folder)
        assert [path.name.split(".")[1] for path in folder.rglob(".*.aside")] == ["slurm"]
        file.write(b"{}")
    assert (folder / "slurm.json").read_bytes() == b"{}" and other.exists()
