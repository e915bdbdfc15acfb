"""A result is adopted under the key of other code, and under no other change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sgr.errors import UserError
from sgr.files import read_json, write_json
from sgr.jobs import adoption
from sgr.jobs.adoption import adopt, candidates, other_sources
from sgr.jobs.job import Code, Job
from sgr.jobs.store import JobStore
from sgr.jobs.worker import work
from tests.fake_jobs import COUNT, COUNTED, Count, Pause

pytestmark = pytest.mark.usefixtures("importable")
FINISHED = Job(COUNT, Count(3), 1, {"data": "d1"}, Code({"a.py": "1"}, {"numpy": "1"}), Pause(0), row="a row")
# the same but for its sources
TODAY = replace(FINISHED, code=Code({"a.py": "2", "b.py": "1"}, {"numpy": "1"}))
PROOF = {"iterations": [1, 2, 5]}


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    made = JobStore(tmp_path / "jobs")
    finish(made, FINISHED)
    return made


def finish(store: JobStore, job: Job) -> None:
    # not by an executor, which refuses sources that are nowhere
    work(store.prepare(job, {"executor": "inline"}), tee=False)


def test_result_is_filed_under_the_new_key_too(store: JobStore, tmp_path: Path) -> None:
    (former,) = candidates(store, TODAY)
    assert former == store.folder(FINISHED) and other_sources(FINISHED, TODAY) == ["a.py", "b.py"]
    adopt(store, TODAY, former, PROOF)
    assert store.finished(TODAY) and store.finished(FINISHED)
    assert store.identity(TODAY) == FINISHED.key
    old, new = (store.take(job, COUNTED, tmp_path / job.key) for job in (FINISHED, TODAY))
    assert [path.read_bytes() for path in old] == [path.read_bytes() for path in new]
    said = read_json(store.folder(TODAY) / "provenance.json")["adopted"]
    assert (said["from"], said["origin"], said["iterations"]) == (FINISHED.key, FINISHED.key, [1, 2, 5])
    # once more removed, it still comes from the first
    tomorrow = replace(FINISHED, code=Code({"a.py": "3"}, {"numpy": "1"}))
    adopt(store, tomorrow, store.folder(TODAY), PROOF)
    assert store.identity(tomorrow) == FINISHED.key


@pytest.mark.parametrize(
    "change",
    [
        {"settings": Count(4)},
        {"seed": 2},
        {"inputs": {"data": "d2"}},
        {"code": Code({"a.py": "2"}, {"numpy": "2"})},
    ],
)
def test_more_than_the_sources_is_not_adopted(store: JobStore, change: dict[str, object]) -> None:
    other = replace(TODAY, **change)
    assert list(candidates(store, other)) == []
    with pytest.raises(UserError, match=r"differs from job .* in more than its sources"):
        adopt(store, other, store.folder(FINISHED), PROOF)
    assert not store.folder(other).exists()


def test_damaged_and_foreign_folders_are_passed_over(store: JobStore) -> None:
    (store.folder(FINISHED) / "weights.bin").write_bytes(b"")
    foreign = store.root / ("0" * 32)
    write_json(foreign / "job.json", {"kind": "train", "spec": {}})
    write_json(foreign / "done.json", {})
    assert list(candidates(store, TODAY)) == []


def test_what_has_not_finished_is_not_adopted(store: JobStore) -> None:
    (store.folder(FINISHED) / "done.json").unlink()
    assert list(candidates(store, TODAY)) == []
    with pytest.raises(UserError, match="has not finished"):
        adopt(store, TODAY, store.folder(FINISHED), PROOF)
    assert not store.finished(TODAY)


@pytest.mark.parametrize("step", ["write_json", "complete"])
def test_killed_at_any_moment_it_leaves_the_old_state(
    store: JobStore, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(adoption, step, killed)
        adopt(store, TODAY, store.folder(FINISHED), PROOF)
    assert not store.finished(TODAY) and store.identity(TODAY) == TODAY.key
    assert store.finished(FINISHED) and list(candidates(store, TODAY)) == [store.folder(FINISHED)]
    # either way out: trained anew, it is a result of its own; or adopted after all
    finish(store, TODAY)
    assert store.identity(TODAY) == TODAY.key
    (store.folder(TODAY) / "done.json").unlink()
    adopt(store, TODAY, store.folder(FINISHED), PROOF)
    assert store.identity(TODAY) == FINISHED.key


def test_what_is_carried_over_is_what_was_written(store: JobStore) -> None:
    """The former's launch.json is not needed; a provenance that somebody changed is not carried on."""
    former = store.folder(FINISHED)
    content = (former / "provenance.json").read_bytes()
    (former / "launch.json").write_text("{")
    (former / "where.json").write_text("{")
    (former / "provenance.json").write_bytes(content.replace(b"cpu", b"gpu", 1))
    with pytest.raises(UserError, match=r"provenance.json changed after its job finished"):
        adopt(store, TODAY, former, PROOF)
    assert not store.finished(TODAY)
    (former / "provenance.json").write_bytes(content)
    assert list(candidates(store, TODAY)) == [former]
    adopt(store, TODAY, former, PROOF)
    said = store.provenance(TODAY)
    assert said.pop("adopted")["from"] == FINISHED.key and said == store.provenance(FINISHED)
    assert read_json(store.folder(TODAY) / "launch.json")["executor"] == "inline"
