"""The sweep's picture, from what `dvc exp show --json` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sgr.report import experiments, style, sweep


def data(K: int, L: int, sgr: float, plain: float = 30.0, rate: float = 0.1) -> dict[str, Any]:
    def metric(row: str, miou: float) -> dict[str, Any]:
        return {
            "data": {
                "row": row,
                "seeds": {"0": {"val": {"miou_ss": miou}}, "1": {"val": {"miou_ss": miou + 2}}},
            }
        }

    folder = "results/mini/camvid"
    return {
        "params": {"params.yaml": {"data": {"profile": "mini", "rate": rate, "sgr": {"K": K, "L": L}}}},
        "metrics": {
            f"{folder}/camvid-fcn-sgr.json": metric("camvid-fcn-sgr", sgr),
            f"{folder}/camvid-fcn.json": metric("camvid-fcn", plain),
            "results/mini/camvid/camvid-fcn-sgr.semantics.json": {
                "data": {"seeds": {"0": {"val": {"images": 2}}}}
            },
        },
    }


def shown(*finished: dict[str, Any], queued: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """A commit with K = 16, L = 8 and mIoU 34, and its experiments."""
    runs: list[dict[str, Any]] = [
        {"name": "run", "revs": [{"data": entry}], "executor": None} for entry in finished
    ]
    if queued:
        runs.append({"name": "later", "revs": [{"data": queued}], "executor": {"state": "queued"}})
    commit = {"rev": "abc", "data": data(16, 8, 33.0), "experiments": runs or None}
    return [{"rev": "workspace", "data": data(16, 8, 33.0), "experiments": None}, commit]


def test_points_are_rows_with_sgr_and_means_over_seeds() -> None:
    found = experiments.points(shown(data(32, 8, 35.0), queued=data(64, 8, 50.0)))
    assert [(point.row, point.K, point.miou) for point in found] == [
        ("camvid-fcn-sgr", 16, 34.0),
        ("camvid-fcn-sgr", 32, 36.0),
    ]


def test_a_result_that_was_not_trained_again_is_left_out() -> None:
    # K changed, but the row's file is the commit's: the experiment ran another dataset only.
    assert len(experiments.points(shown(data(32, 8, 33.0)))) == 1


def test_only_experiments_that_share_the_rest_make_a_line() -> None:
    found = experiments.points(shown(data(32, 8, 35.0), data(64, 8, 36.0, rate=0.2)))
    assert sweep.sweeps(found) == {("mini", "camvid"): {"camvid-fcn-sgr": {(16, 8): 34.0, (32, 8): 36.0}}}


def test_null_means_the_profiles_value() -> None:
    commit, run = data(16, 8, 33.0), data(32, 8, 35.0)
    for entry, K in ((commit, None), (run, 32)):
        entry["params"]["params.yaml"]["data"] |= {
            "sgr": {"K": K, "L": None},
            "profiles": {"mini": {"sgr": {"K": 16, "L": 8}}},
        }
    runs = [{"name": "run", "revs": [{"data": run}], "executor": None}]
    found = experiments.points([{"rev": "abc", "data": commit, "experiments": runs}])
    assert [(point.K, point.L) for point in found] == [(16, 8), (32, 8)]
    assert found[0].setting == found[1].setting


def test_no_sweep() -> None:
    assert sweep.sweeps(experiments.points(shown())) == {}
    assert sweep.sweeps(experiments.points([{"rev": "workspace", "data": None, "experiments": None}])) == {}


@pytest.mark.parametrize(
    ("grid", "label"),
    [
        ({(16, 8): 34.0, (32, 8): 36.0}, "K, concepts"),
        ({(32, 8): 34.0, (32, 16): 36.0}, "L, concepts active in an image"),
        ({(16, 8): 34.0, (32, 16): 36.0}, "K, concepts"),
    ],
)
def test_lines_or_a_heat_map(grid: dict[tuple[int, int], float], label: str) -> None:
    with style.drawing():
        figure = sweep.draw_sweep({"camvid-fcn-sgr": grid})
    assert figure.axes[0].get_xlabel() == label
    assert bool(figure.axes[0].images) == (len({K for K, _ in grid}) > 1 and len({L for _, L in grid}) > 1)


def test_sweeps_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "show", lambda: shown(data(32, 8, 35.0)))
    written = sweep.write_sweeps(tmp_path)
    assert written == [tmp_path / "mini" / "figures" / "sweep_camvid.png"]
    assert written[0].read_bytes().startswith(b"\x89PNG")
