"""The line that is shown while a stage waits: from what the training tells, or from the end of the log."""

from __future__ import annotations

from pathlib import Path

from sgr.files import read_json, write_json
from sgr.jobs.readable import duration, size
from sgr.jobs.run.status import Queued, describe
from sgr.training.curve import Curve


def job(folder: Path, iteration: int, seconds_left: float) -> Path:
    told = {"iteration": iteration, "iterations": 60000, "loss": 1.23456, "seconds_left": seconds_left}
    write_json(folder / "progress.json", told)
    return folder


def test_training_tells_iteration_loss_and_time_left(tmp_path: Path) -> None:
    curve = Curve(tmp_path, [], iterations=40)
    curve.log({"iteration": 10, "learning_rate": 0.1, "loss": 2.0})
    told = read_json(tmp_path / "progress.json")
    assert (told["iteration"], told["iterations"], told["loss"]) == (10, 40, 2.0)
    assert told["seconds_left"] >= 0
    curve.log({"iteration": 20, "learning_rate": 0.1, "loss": 1.0})  # within the same second: not written
    assert read_json(tmp_path / "progress.json") == told and len(curve.rows) == 2
    resumed = Curve(tmp_path, curve.rows, iterations=40)
    resumed.log({"iteration": 30, "learning_rate": 0.1, "loss": 0.5})
    assert read_json(tmp_path / "progress.json")["iteration"] == 30


def test_one_job(tmp_path: Path) -> None:
    held = Queued("5547", "RUNNING", "n12")
    expected = "5547 RUNNING on n12: iteration 300/60000, loss 1.235, 5 h 20 min left"
    assert describe({job(tmp_path / "a", 300, 19200): held}) == expected
    assert describe({tmp_path / "b": Queued("5548", "PENDING (Priority)")}) == "5548 PENDING (Priority)"


def test_other_kinds_show_the_end_of_their_log(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("row on val:  10%|#  | 1/10\rrow on val:  20%|## | 2/10\r")
    assert describe({tmp_path: Queued("pid 7", "RUNNING")}) == "pid 7 RUNNING: row on val:  20%|## | 2/10"


def test_half_written_progress_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('{"iteration": 3')
    assert describe({tmp_path: Queued("7", "RUNNING")}) == "7 RUNNING"


def test_several_jobs_are_counts_and_the_slowest(tmp_path: Path) -> None:
    jobs = {
        job(tmp_path / "a", 900, 100): Queued("1", "RUNNING", "n1"),
        job(tmp_path / "b", 300, 7200): Queued("2", "RUNNING", "n2"),
        tmp_path / "c": Queued("3", "RUNNING", "n3"),
        job(tmp_path / "d", 100, 99999): Queued("4", "PENDING (Priority)"),
    }
    expected = "3 running, 1 pending; slowest 2 on n2: iteration 300/60000, loss 1.235, 2 h 0 min left"
    assert describe(jobs) == expected
    assert describe({}) == ""


def test_units() -> None:
    assert [duration(seconds) for seconds in (0, 59, 60, 3599, 19200, 3 * 86400 + 4 * 3600)] == [
        *("0 s", "59 s", "1 min", "1 h 0 min", "5 h 20 min", "3 d 4 h")
    ]
    assert [size(count) for count in (0, 999, 12_340_000, 49e9, 2e12)] == [
        *("0 B", "999 B", "12.3 MB", "49 GB", "2 TB")
    ]
