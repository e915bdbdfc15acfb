"""Tables: the paper's rows beside ours, with numbers that can be checked by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from sgr.errors import UserError
from sgr.report import names, published
from sgr.report.markdown import number
from sgr.report.measures import compare, gains
from sgr.report.statistics import gain, spread
from sgr.report.tables import write_table

SPLITS = {"cocostuff10k": ["test"], "camvid": ["val", "test"]}


def result(folder: Path, row: str, miou: dict[str, float], more: dict[str, Any] | None = None) -> Path:
    """A row's result with the same mIoU on every split, m.s. one point above s.s."""
    dataset = names.parts(row).dataset
    seeds = {
        seed: {
            s: {"miou_ss": v, "miou_ms": v + 1, "iou_ss": {"sky": 1.0}} for s in SPLITS.get(dataset, ["val"])
        }
        for seed, v in miou.items()
    }
    data = {
        "row": row,
        "dataset": dataset,
        "backbone": "tiny",
        "parameters": 1_250_000,
        "seeds": seeds,
        **(more or {}),
    }
    path = folder / dataset / f"{row}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def tokens(folder: Path, row: str, S: float | None, D: float | None) -> None:
    dataset = names.parts(row).dataset
    split = {"cocostuff10k": "test"}.get(dataset, "val")
    metrics = {"semantics_class": S, "diversity_class": D, "images": 2}
    data = {"row": row, "dataset": dataset, "seeds": {"0": {split: metrics}}}
    (folder / dataset).mkdir(parents=True, exist_ok=True)
    (folder / dataset / f"{row}.semantics.json").write_text(json.dumps(data))


def written(results: Path, table: str, profile: str = "mini") -> tuple[str, dict[str, dict[str, str]]]:
    """Markdown, and the CSV file's lines by row name."""
    write_table(profile, table, results)
    with open(results / profile / f"{table}.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return (results / profile / f"{table}.md").read_text(encoding="utf-8"), {
        line["row"]: line for line in lines
    }


def cells(markdown: str, method: str) -> list[str]:
    """The cells of the first line of a Markdown table that is about `method`."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    return next(line for line in lines if method in line[:2])


def test_spread_is_the_sample_deviation() -> None:
    assert spread([1.0, 2.0, 3.0]) == (2.0, 1.0, 3)
    assert spread([4.0]) == (4.0, None, 1)
    assert spread([]) is None


def test_gain_is_paired_by_seed() -> None:
    # Seeds 0 and 1 are shared: differences 1 and 3; seed 2 has no partner.
    assert gain({"0": 11.0, "1": 23.0, "2": 99.0}, {"0": 10.0, "1": 20.0}) == (2.0, pytest.approx(2**0.5), 2)
    assert gain({"0": 1.0}, {"1": 1.0}) is None


def test_difference_is_ours_minus_paper() -> None:
    assert compare("m", 37.8, {"0": 40.0})["m_difference"] == pytest.approx(2.2)
    assert compare("m", float("nan"), {"0": 40.0})["m_difference"] is None
    assert compare("m", 37.8, None) == {"m_paper": 37.8, "m_ours": None, "m_std": None, "m_difference": None}
    assert gains("m", 38.8, 37.8, None, None)["m_gain_paper"] == 1.0


def test_number_shows_sign_deviation_and_no_negative_zero() -> None:
    assert number("x", 2, "s")({"x": 38.801, "s": 0.254}) == "38.80 ± 0.25"
    assert number("x", 1, signed=True)({"x": -0.01}) == "+0.0"
    assert number("x", 1)({"x": None}) == "—"


def test_paper_has_all_rows_and_every_base_is_one_of_them() -> None:
    table1 = published.load("table1")
    assert [len(published.load(f"table{n}")) for n in (1, 2, 3, 4)] == [29, 14, 8, 7]
    assert table1["row"].is_unique
    assert set(table1["base"]) - {""} <= set(table1["row"])
    assert published.splits() == {"cocostuff10k": "test", "ade20k": "val", "cityscapes": "val"}


def test_row_names_are_read_back() -> None:
    assert names.parts("camvid-fcn-sgr-no-token-supervision") == (
        "camvid",
        "fcn",
        "sgr",
        "no-token-supervision",
    )
    assert names.method("camvid-fcn-sgr-no-cosine") == "Dil-FCN + SGR, w/o cosine"
    assert names.method("ade20k-deeplabv3") == "DeepLabV3"
    assert names.plain("camvid-fcn-sgr-no-cosine") == "camvid-fcn"


def test_table1(tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    result(folder, "cocostuff10k-fcn", {"0": 30.0, "1": 32.0})
    result(folder, "cocostuff10k-fcn-sgr", {"0": 31.0, "1": 35.0})
    markdown, lines = written(tmp_path, "table1")
    assert markdown.splitlines()[0].startswith("Numbers from generated data and tiny networks")
    assert len(lines) == 29
    assert markdown.count("not yet trained by this project") == 27
    sgr = lines["cocostuff10k-fcn-sgr"]
    assert float(sgr["miou_ss_ours"]) == 33.0  # mean of 31 and 35
    assert float(sgr["miou_ss_std"]) == pytest.approx(8**0.5)
    assert float(sgr["miou_ss_difference"]) == pytest.approx(33 - 38.8)
    assert float(sgr["miou_ms_difference"]) == pytest.approx(34 - 39.7)
    assert (float(sgr["miou_ss_gain_paper"]), float(sgr["miou_ss_gain_ours"])) == (1.0, 2.0)
    assert float(sgr["miou_ss_gain_std"]) == pytest.approx(2**0.5)  # gains 1 and 3
    assert (sgr["backbone_ours"], sgr["parameters"], sgr["seeds"]) == ("tiny", "1250000", "2")
    shown = cells(markdown, "Dil-FCN + SGR")
    assert shown[:10] == [
        "Dil-FCN + SGR", "resnet101", "tiny", "1.25 M", "2",
        "38.8", "33.00 ± 2.83", "-5.80", "+1.0", "+2.00 ± 1.41",
    ]  # fmt: skip
    missing = cells(markdown, "MaskFormer + SGR")
    assert missing[2:5] == ["—"] * 3
    assert missing[6:8] == ["—"] * 2
    assert lines["cocostuff10k-segformer"]["miou_ss_paper"] == ""
    assert lines["cityscapes-fcn-sgr"]["miou_ss_gain_paper"] == "0.8"  # where the paper prints 0.7


def test_table2(tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    result(folder, "cityscapes-fcn-sgr", {"0": 30.0})
    tokens(folder, "cityscapes-fcn-sgr", 0.25, 0.5)
    markdown, _ = written(tmp_path, "table2")
    class_level, instance_level = markdown.split("## Instance level")
    assert class_level.count("not yet trained by this project") == 10
    assert instance_level.count("instance level not yet measured by this project") == 3
    line = next(line for line in class_level.splitlines() if "1.25 M" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "Cityscapes", "Dil-FCN + SGR", "resnet101", "tiny", "1.25 M", "1",
        "0.293", "0.250", "-0.043", "0.469", "0.500", "+0.031", "",
    ]  # fmt: skip
    assert "S_C ↓ ours" in class_level
    assert "D_I ↑ ours" in instance_level


def test_table2_shows_a_dash_where_no_pixel_is_labelled(tmp_path: Path) -> None:
    tokens(tmp_path / "mini", "ade20k-fcn-sgr", None, None)
    _, lines = written(tmp_path, "table2")
    assert lines["ade20k-fcn-sgr"]["semantics_ours"] == ""


def test_table4_compares_multi_scale(tmp_path: Path) -> None:
    folder = tmp_path / "paper"
    for row, miou in (("cocostuff10k-fcn-sgr", 38.0), ("cocostuff10k-fcn-sgr-no-cosine", 37.0)):
        result(folder, row, {"0": miou})
        tokens(folder, row, 0.3, 0.4)
    markdown, lines = written(tmp_path, "table4", "paper")
    assert len(lines) == 7
    assert "generated" not in markdown.splitlines()[0]
    whole, ablated = lines["cocostuff10k-fcn-sgr"], lines["cocostuff10k-fcn-sgr-no-cosine"]
    assert float(whole["miou_ms_ours"]) == 39.0
    assert float(whole["miou_ms_difference"]) == pytest.approx(-0.7)
    assert (float(ablated["miou_ms_gain_paper"]), float(ablated["miou_ms_gain_ours"])) == (-2.0, -1.0)
    assert float(ablated["s_c_difference"]) == pytest.approx(0.3 - 0.519)
    assert (whole["s_i_paper"], whole["s_i_ours"]) == ("0.315", "")
    assert markdown.count("not yet trained by this project") == 5


def test_camvid_table_has_every_row_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    for row, miou in (("camvid-fcn-sgr-no-cosine", 33.0), ("camvid-fcn-sgr", 34.0), ("camvid-fcn", 32.0)):
        result(folder, row, {"0": miou, "1": miou + 2})
    tokens(folder, "camvid-fcn-sgr", 0.3, 0.4)
    markdown, lines = written(tmp_path, "table_camvid", "small")
    assert list(lines) == ["camvid-fcn", "camvid-fcn-sgr", "camvid-fcn-sgr-no-cosine"]
    assert cells(markdown, "Dil-FCN + SGR") == [
        "Dil-FCN + SGR", "tiny", "1.25 M", "2",
        "35.00 ± 1.41", "+2.00 ± 0.00", "36.00 ± 1.41", "+2.00 ± 0.00",
        "35.00 ± 1.41", "+2.00 ± 0.00", "36.00 ± 1.41", "+2.00 ± 0.00", "0.300", "0.400",
    ]  # fmt: skip
    assert cells(markdown, "Dil-FCN")[5] == "—"
    assert not [name for name in lines["camvid-fcn"] if "paper" in name]


def test_parameters_are_read_beside_a_seeds_splits_too(tmp_path: Path) -> None:
    metrics = {"miou_ss": 1.0, "miou_ms": 2.0}
    seeds = {"0": {"val": metrics, "test": metrics, "parameters": 7}}
    path = result(tmp_path / "mini", "camvid-fcn", {"0": 1.0})
    path.write_text(json.dumps({"row": "camvid-fcn", "dataset": "camvid", "seeds": seeds}))
    assert written(tmp_path, "table_camvid")[1]["camvid-fcn"]["parameters"] == "7"


def test_tables_are_the_same_bytes_again(tmp_path: Path) -> None:
    result(tmp_path / "mini", "camvid-fcn", {"0": 1 / 3})
    written(tmp_path, "table_camvid")
    paths = sorted((tmp_path / "mini").glob("table_camvid.*"))
    before = [path.read_bytes() for path in paths]
    written(tmp_path, "table_camvid")
    assert [path.read_bytes() for path in paths] == before
    assert repr(1 / 3).encode() in before[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row": "ade20k-fcn-sgr"}, "is the result of row 'ade20k-fcn-sgr'"),
        ({"seeds": {}}, "must hold seeds"),
        ({"seeds": {"0": {"val": {"miou_ss": 1.0}}}}, "miou_ms must be a finite number, not missing"),
        ({"seeds": {"0": {"val": {"miou_ss": float("nan")}}}}, "miou_ss must be a finite number, not nan"),
        ({"seeds": {"0": {"train": {}}}}, "seed 0, split val"),
        ({"parameters": "many"}, "parameters must be"),
    ],
)
def test_malformed_result_names_its_file(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = result(tmp_path / "mini", "ade20k-fcn", {"0": 1.0}, change)
    with pytest.raises(UserError, match=message) as error:
        write_table("mini", "table1", tmp_path)
    assert str(path) in str(error.value)


def test_unknown_table_and_profile(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the tables are table1"):
        write_table("mini", "table9", tmp_path)
    with pytest.raises(UserError, match=r"no folder .*huge"):
        write_table("huge", "table1", tmp_path)
    (tmp_path / "mini").mkdir()
    with pytest.raises(UserError, match="dvc repro table_camvid"):
        write_table("mini", "table_camvid", tmp_path)
