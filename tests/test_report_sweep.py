"""The sweep over K and L as CSV, Markdown and heat maps, from numbers that can be checked by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sgr.report import style, sweep
from sgr.report.about import parse
from sgr.report.labels import Network
from sgr.report.sweep import Metrics
from tests.figure_checks import check, check_files
from tests.made_of import tiny

ROW, NETWORK = "my-row", Network("camvid", "fcn", "resnet101", "sgr")
ABOUT = parse({**tiny("camvid"), "dataset": "camvid"}, "sweep")


def metrics(single: float, multi: float, collapsed: bool = False) -> Metrics:
    return {"miou_ss": single, "miou_ms": multi, "collapsed_ss": collapsed, "collapsed_ms": False}


MEASURED: dict[tuple[int, int], list[Metrics]] = {
    (8, 4): [metrics(30.0, 31.0), metrics(32.0, 35.0)],
    (16, 4): [metrics(33.0, 34.0)],
    (16, 12): [metrics(1 / 3, 36.0, collapsed=True)],
}


def written(results: Path) -> tuple[str, dict[tuple[str, str], dict[str, str]]]:
    """Markdown, and the CSV file's lines by K and L."""
    sweep.write_sweep("mini", ROW, NETWORK, "val", [8, 16], [4, 12], MEASURED, ABOUT, results)
    lines = csv.DictReader((results / "mini/sweep.csv").read_text().splitlines())
    return (results / "mini/sweep.md").read_text(), {(line["K"], line["L"]): line for line in lines}


def test_a_line_a_pair_with_the_mean_over_seeds(tmp_path: Path) -> None:
    _, lines = written(tmp_path)
    assert list(lines) == [("8", "4"), ("8", "12"), ("16", "4"), ("16", "12")]
    two = lines["8", "4"]
    assert (two["row"], two["split"], two["seeds"]) == (ROW, "val", "2")
    assert (float(two["miou_ss"]), float(two["miou_ms"])) == (31.0, 33.0)
    assert float(two["miou_ss_std"]) == pytest.approx(2**0.5)
    assert float(two["miou_ms_std"]) == pytest.approx(8**0.5)
    assert (lines["16", "4"]["miou_ss"], lines["16", "4"]["miou_ss_std"]) == ("33.0", "")
    assert lines["16", "12"]["miou_ss"] == repr(1 / 3)


def test_more_active_concepts_than_concepts_stay_blank(tmp_path: Path) -> None:
    markdown, lines = written(tmp_path)
    assert [lines["8", "12"][name] for name in ("miou_ss", "miou_ms", "seeds")] == ["", "", "0"]
    single, multi = (
        [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if "| K" in line]
        for part in markdown.split("## mIoU")[1:]
    )
    assert single == [["K = 8", "31.00±1.41", ""], ["K = 16", "**33.00**", "0.33‡"]]
    assert "Each number is the mean over n = 2 seeds ± the sample standard deviation.\n" in markdown
    assert markdown.endswith("\n‡ predicts one class for everything.\n")
    assert multi == [["K = 8", "33.00±2.83", ""], ["K = 16", "34.00", "**36.00**"]]
    assert markdown.startswith(
        "Generated images, not the real dataset: CamVid (64 images in the place of 367"
    )
    assert "Dil-FCN + SGR on CamVid, val" in markdown


def test_heat_maps_have_the_tables_orientation() -> None:
    with style.drawing():
        figure = sweep.draw_sweep(sweep.grid(ROW, "val", [8, 16], [4, 12], MEASURED), NETWORK)
    check(figure)
    maps = [axes for axes in figure.axes if axes.images]
    assert maps[0].get_ylabel() == "K (concepts)"
    assert [tick.get_text() for tick in maps[0].get_yticklabels()] == ["8", "16"]
    # the same colour is the same mIoU in both
    assert {axes.images[0].get_clim() for axes in maps} == {(1 / 3, 36.0)}
    assert [axes.get_ylabel() for axes in figure.axes if axes not in maps] == ["mIoU (%)"]
    assert [axes.get_title(loc="left") for axes in maps] == ["single-scale", "multi-scale"]
    for axes, words in zip(
        maps, (["31.00\n± 1.41", "33.00", "0.33"], ["33.00\n± 2.83", "34.00", "36.00"]), strict=True
    ):
        assert axes.get_xlabel() == "L (active concepts in an image)"
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["4", "12"]
        assert [text.get_text() for text in axes.texts] == words
        assert [text.get_position() for text in axes.texts] == [(0, 0), (0, 1), (1, 1)]
        assert [patch.get_xy() for patch in axes.patches] == [(0.5, -0.5)]  # K = 8, L = 12


def test_a_flat_map_still_shows_its_numbers() -> None:
    flat: dict[tuple[int, int], list[Metrics]] = {pair: [metrics(5.0, 5.0)] for pair in ((8, 4), (16, 4))}
    with style.drawing():
        figure = sweep.draw_sweep(sweep.grid(ROW, "val", [8, 16], [4], flat), NETWORK)
    assert [(text.get_text(), text.get_color()) for text in figure.axes[0].texts] == [("5.00", "white")] * 2


def test_the_same_numbers_are_the_same_bytes(tmp_path: Path) -> None:
    files = ("sweep.csv", "sweep.md", "figures/sweep.png", "figures/sweep.pdf")
    once = [written(tmp_path) and (tmp_path / "mini" / name).read_bytes() for name in files]
    assert [written(tmp_path) and (tmp_path / "mini" / name).read_bytes() for name in files] == once
    assert (*once[2:],) == check_files(tmp_path / "mini/figures/sweep.png")
