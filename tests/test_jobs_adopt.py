"""A result is adopted under the key of other code, and under no other change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sgr.errors import UserError
from sgr.files import read_json
from sgr.jobs import adopt as adoption
from sgr.jobs.adopt import adopt, twins
from sgr.jobs.job import Code, Job
from sgr.jobs.run.executors import run
from sgr.jobs.store import JobStore
from sgr.machine import Machine
from tests.fake_jobs import COUNT, COUNTED, Count, Pause

pytestmark = pytest.mark.usefixtures("importable")
FINISHED = Job(COUNT, Count(3), 1, {"data": "d1"}, Code(libraries={"numpy": "1"}), Pause(0), row="a row")
# the same but for its code
TODAY = replace(FINISHED, code=Code(libraries={"numpy": "2"}))
PROOF = {"iterations": [1, 2, 5]}


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    machine = Machine(jobs=tmp_path / "jobs")
    run([FINISHED], machine)
    return machine.store


def test_result_is_filed_under_the_new_key_too(store: JobStore, tmp_path: Path) -> None:
    (twin,) = twins(store, TODAY)
    assert twin.key == FINISHED.key
    folder = adopt(store, TODAY, twin, PROOF)
    assert store.finished(TODAY) and store.finished(FINISHED)
    assert store.identity(TODAY) == FINISHED.key
    old, new = (store.take(job, COUNTED, tmp_path / job.key) for job in (FINISHED, TODAY))
    assert [path.read_bytes() for path in old] == [path.read_bytes() for path in new]
    said = read_json(folder / "provenance.json")["adopted"]
    assert (said["from"], said["origin"], said["iterations"]) == (FINISHED.key, FINISHED.key, [1, 2, 5])
    # once more removed, it still comes from the first
    tomorrow = replace(FINISHED, code=Code(libraries={"numpy": "3"}))
    adopt(store, tomorrow, TODAY, PROOF)
    assert store.identity(tomorrow) == FINISHED.key


@pytest.mark.parametrize("change", [{"settings": Count(4)}, {"seed": 2}, {"inputs": {"data": "d2"}}])
def test_more_than_the_code_is_not_adopted(store: JobStore, change: dict[str, object]) -> None:
    other = replace(TODAY, **change)
    assert list(twins(store, other)) == []
    with pytest.raises(UserError, match=r"differs from job .* in more than its code"):
        adopt(store, other, FINISHED, PROOF)
    assert not store.folder(other).exists()


def test_what_has_not_finished_is_not_adopted(store: JobStore) -> None:
    (store.folder(FINISHED) / "done.json").unlink()
    assert list(twins(store, TODAY)) == []
    with pytest.raises(UserError, match="has not finished"):
        adopt(store, TODAY, FINISHED, PROOF)
    assert not store.finished(TODAY)


@pytest.mark.parametrize("step", ["read_json", "write_json", "complete"])
def test_killed_at_any_moment_it_leaves_the_old_state(
    store: JobStore, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(adoption, step, killed)
        adopt(store, TODAY, FINISHED, PROOF)
    assert not store.finished(TODAY) and store.identity(TODAY) == TODAY.key
    assert store.finished(FINISHED) and [job.key for job in twins(store, TODAY)] == [FINISHED.key]
    # either way out: trained anew, it is a result of its own; or adopted after all
    run([TODAY], Machine(jobs=store.root))
    assert store.identity(TODAY) == TODAY.key
    (store.folder(TODAY) / "done.json").unlink()
    adopt(store, TODAY, FINISHED, PROOF)
    assert store.identity(TODAY) == FINISHED.key
