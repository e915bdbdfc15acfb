"""Tables: the paper's rows beside ours, with numbers that can be checked by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from sgr.errors import UserError
from sgr.models.recipes import RECIPES
from sgr.plan.params import Row, load
from sgr.report import names, published, table1, table2, table4
from sgr.report.markdown import number
from sgr.report.measures import compare, gains
from sgr.report.statistics import gain, spread
from sgr.report.tables import write_table

ROOT = Path(__file__).parents[1]
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


def instances(folder: Path, row: str, S: float, D: float) -> None:
    metrics = {"semantics_instance": S, "diversity_instance": D, "images": 2, "instances": 5}
    data = {"row": row, "dataset": "coco", "seeds": {"0": {"val2017": metrics}}}
    (folder / "cocostuff10k" / f"{row}.instances.json").write_text(json.dumps(data))


def written(results: Path, table: str, profile: str = "mini") -> tuple[str, dict[str, dict[str, str]]]:
    """Markdown, and the CSV file's lines by row name."""
    write_table(profile, table, results, ROOT / "params.yaml")
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


def test_the_paper_has_all_its_rows_and_params_names_each() -> None:
    paper = [published.load(f"table{n}") for n in (1, 2, 3, 4)]
    assert [len(table) for table in paper] == [29, 14, 8, 7]
    assert paper[0]["row"].is_unique
    rows = load(ROOT / "params.yaml").rows
    for table in paper[:2]:
        for line in table.to_dict("records"):
            assert rows[line["row"]].backbone == line["backbone"], line
    assert set(paper[3]["row"]) <= rows.keys()
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
    assert names.method("cocostuff10k-segformer-protoseg") == "SegFormer + ProtoSeg"
    assert names.method("ade20k-hrnet-protoseg") == "HRNet + ProtoSeg"


def test_every_backbone_has_a_name() -> None:
    assert [names.backbone(name) for name in ("resnet101", "hrnetv2_w48")] == ["ResNet-101", "HRNetV2-W48"]
    assert names.backbone("tiny") == "tiny"  # unknown
    assert RECIPES.keys() == names.BACKBONES.keys()


def test_the_order_of_rows_is_the_papers() -> None:
    for table in ("table1", "table4"):
        paper = published.load(table)
        for _, part in paper.assign(dataset=paper["row"].str.split("-").str[0]).groupby("dataset"):
            assert list(part["row"]) == sorted(part["row"], key=names.order)
    mine = ["a-b-sgr-x", "a-b", "a-fcn-sgr-mine", "a-fcn-sgr-no-xy", "a-fcn-sgr", "a-fcn"]
    assert sorted(mine, key=names.order) == [
        "a-fcn", "a-fcn-sgr", "a-fcn-sgr-no-xy", "a-fcn-sgr-mine", "a-b", "a-b-sgr-x",
    ]  # fmt: skip


def rows_of(*found: str, **more: Any) -> dict[str, Row]:
    return {
        name: Row(dataset=names.parts(name).dataset, family="fcn", backbone="resnet101", **more)
        for name in found
    }


def test_our_rows_stand_beside_their_base(tmp_path: Path) -> None:
    ours = rows_of("cocostuff10k-segformer-sgr", "cocostuff10k-deeplabv3", "camvid-fcn", "ade20k-fcn-mine")
    for row, miou in (("cocostuff10k-segformer", 30.0), ("cocostuff10k-segformer-sgr", 32.5)):
        result(tmp_path, row, {"0": miou})
    frame, markdown = table1.build(tmp_path, ours)
    lines = {line["row"]: line for line in frame.to_dict("records")}
    assert len(frame) == 29 + 3 and "camvid-fcn" not in lines
    order = list(lines)
    assert order.index("cocostuff10k-segformer-sgr") == order.index("cocostuff10k-segformer") + 1
    assert order.index("cocostuff10k-deeplabv3") == order.index("cocostuff10k-fcn-sgr") + 1
    sgr = lines["cocostuff10k-segformer-sgr"]
    assert (sgr["base"], sgr["split"], sgr["miou_ss_gain_ours"]) == ("cocostuff10k-segformer", "test", 2.5)
    assert sgr["note"] == "not in the paper's table"
    assert cells(markdown, "SegFormer + SGR")[:6] == ["SegFormer + SGR", "—", "tiny", "1.25 M", "1", "—"]
    assert (
        lines["cocostuff10k-deeplabv3"]["note"] == "not in the paper's table; not yet trained by this project"
    )
    assert lines["cocostuff10k-segformer"]["note"] == ""


def test_every_row_of_params_stands_in_a_table(tmp_path: Path) -> None:
    rows = load(ROOT / "params.yaml").rows
    paper = [row for row in rows if rows[row].dataset != "camvid"]
    of_table1, of_table2, of_table4 = (
        set(table.build(tmp_path, rows)[0]["row"]) for table in (table1, table2, table4)
    )
    assert of_table1 | of_table4 == set(paper)
    assert of_table1 & of_table4 == {"cocostuff10k-fcn-sgr"}
    assert of_table2 == {row for row in paper if rows[row].has_regions} - of_table4 | {"cocostuff10k-fcn-sgr"}


def test_our_rows_of_table2_have_regions(tmp_path: Path) -> None:
    ours = rows_of("cityscapes-deeplabv3-sgr", component="sgr") | rows_of("cityscapes-deeplabv3")
    tokens(tmp_path, "cityscapes-deeplabv3-sgr", 0.25, 0.5)
    frame, _ = table2.build(tmp_path, ours)
    assert list(frame["level"].value_counts().items()) == [("class", 11 + 1), ("instance", 3)]
    line = frame[frame["row"] == "cityscapes-deeplabv3-sgr"].iloc[0]
    assert (line["split"], line["semantics_ours"], line["note"]) == ("val", 0.25, "not in the paper's table")
    assert "cityscapes-deeplabv3" not in set(frame["row"])


def test_our_variants_follow_the_papers(tmp_path: Path) -> None:
    ours = rows_of("cocostuff10k-fcn-sgr-k64", "cocostuff10k-deeplabv3-sgr-k64")
    frame, _ = table4.build(tmp_path, ours)
    assert list(frame["row"])[-1] == "cocostuff10k-fcn-sgr-k64" and len(frame) == 7 + 1
    assert frame["backbone_paper"].iloc[-1] == ""


def test_table1(tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    result(folder, "cocostuff10k-fcn", {"0": 30.0, "1": 32.0})
    result(folder, "cocostuff10k-fcn-sgr", {"0": 31.0, "1": 35.0})
    markdown, lines = written(tmp_path, "table1")
    assert markdown.splitlines()[0].startswith("Numbers from generated data and tiny networks")
    others = [
        line for line in lines.values() if line["row"] not in ("cocostuff10k-fcn", "cocostuff10k-fcn-sgr")
    ]
    assert len(others) > 27
    assert markdown.count("not yet trained by this project") == len(others)
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
        "Dil-FCN + SGR", "ResNet-101", "tiny", "1.25 M", "2",
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
    assert class_level.count("not yet trained by this project") == class_level.count("\n| ") - 2
    assert instance_level.count("not yet trained by this project") == 3
    assert "crowd regions and stuff are left out" in instance_level
    line = next(line for line in class_level.splitlines() if "1.25 M" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "Cityscapes", "Dil-FCN + SGR", "ResNet-101", "tiny", "1.25 M", "1",
        "0.293", "0.250", "-0.043", "0.469", "0.500", "+0.031", "",
    ]  # fmt: skip
    assert "S_C ↓ ours" in class_level
    assert "D_I ↑ ours" in instance_level


def test_instance_level_is_of_the_networks_trained_on_cocostuff(tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    for row in ("cocostuff10k-upernet-sgr", "cocostuff10k-fcn-glore", "cocostuff10k-fcn-sgr-graph"):
        result(folder, row, {"0": 30.0})
        instances(folder, row, 0.3, 0.2)
    frame, _ = table2.build(folder, load(ROOT / "params.yaml").rows)
    level = frame[frame["level"] == "instance"].set_index("row")
    assert set(level["dataset"]) == {"coco"} and set(level["split"]) == {"val2017"}
    upernet = level.loc["cocostuff10k-upernet-sgr"]
    assert upernet["semantics_difference"] == pytest.approx(0.3 - 0.328)
    assert upernet["diversity_difference"] == pytest.approx(0.2 - 0.307)
    assert (upernet["backbone_ours"], upernet["note"]) == ("tiny", "")
    assert level.loc["cocostuff10k-fcn-glore"]["note"] == "not in the paper's table"
    assert level.loc["cocostuff10k-maskformer"]["note"] == "not yet trained by this project"
    assert "cocostuff10k-fcn-sgr-graph" not in level.index  # Table 4's
    variants, _ = table4.build(folder, load(ROOT / "params.yaml").rows)
    graph = variants.set_index("row").loc["cocostuff10k-fcn-sgr-graph"]
    assert (graph["s_i_ours"], graph["d_i_ours"]) == (0.3, 0.2)
    assert graph["s_i_difference"] == pytest.approx(0.3 - 0.345)


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
    for row, miou in (
        ("camvid-fcn-sgr-no-token-supervision", 33.0),
        ("camvid-fcn-sgr", 34.0),
        ("camvid-fcn", 32.0),
    ):
        result(folder, row, {"0": miou, "1": miou + 2})
    tokens(folder, "camvid-fcn-sgr", 0.3, 0.4)
    markdown, lines = written(tmp_path, "table_camvid", "small")
    assert list(lines) == [
        "camvid-fcn",
        "camvid-fcn-glore",
        "camvid-fcn-sgr",
        "camvid-fcn-sgr-no-token-supervision",
    ]
    assert cells(markdown, "Dil-FCN + SGR") == [
        "Dil-FCN + SGR", "tiny", "1.25 M", "2",
        "35.00 ± 1.41", "+2.00 ± 0.00", "36.00 ± 1.41", "+2.00 ± 0.00",
        "35.00 ± 1.41", "+2.00 ± 0.00", "36.00 ± 1.41", "+2.00 ± 0.00", "0.300", "0.400",
    ]  # fmt: skip
    assert cells(markdown, "Dil-FCN")[5] == "—"
    assert cells(markdown, "Dil-FCN + GloRe")[1:] == ["—"] * 13  # not trained
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
        written(tmp_path, "table1")
    assert str(path) in str(error.value)


def test_unknown_table_and_profile(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the tables are table1"):
        written(tmp_path, "table9")
    with pytest.raises(UserError, match=r"no folder .*huge"):
        written(tmp_path, "table1", "huge")
    (tmp_path / "mini").mkdir()
    with pytest.raises(UserError, match="dvc repro table_camvid"):
        written(tmp_path, "table_camvid")
