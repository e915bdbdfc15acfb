"""Tables: the paper's rows beside ours, with numbers that can be checked by hand."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sgr.errors import UserError
from sgr.plan.entries import entries
from sgr.plan.params import load
from sgr.report import overhead, published
from sgr.report.builder import Built, build, compare, gains
from sgr.report.labels import Network, networks
from sgr.report.markdown import number
from sgr.report.marks import named
from sgr.report.specification import Measure, Table
from sgr.report.statistics import gain, spread
from sgr.report.tables import is_ablation, splits_of, table1, table2, table3, table4, tables, write_table
from tests.made_of import SOUND, SPLITS, real, tiny
from tests.scratch import checked

ROOT = Path(__file__).parents[1]
PARAMS = load(ROOT / "params.yaml")
ROWS = dict(networks(PARAMS))
TABLES: dict[str, Table] = {name: table() for name, table in tables(PARAMS.datasets).items()}  # type: ignore[arg-type]


def result(
    folder: Path, dataset: str, row: str, miou: dict[str, float], more: dict[str, Any] | None = None
) -> Path:
    """A row's result with the same mIoU on every split, m.s. one point above s.s."""
    seeds = {
        seed: {
            s: {"miou_ss": v, "miou_ms": v + 1, "iou_ss": {"sky": 1.0}, **SOUND}
            for s in SPLITS.get(dataset, ("val",))
        }
        for seed, v in miou.items()
    }
    named = {"row": row, "dataset": dataset, "backbone": "tiny", "parameters": 1_250_000}
    content = {**named, "about": tiny(dataset), "seeds": seeds, **(more or {})}
    return written_json(folder / dataset / f"{row}.json", content)


def tokens(folder: Path, dataset: str, row: str, S: float | None, D: float | None, of: Any = None) -> None:
    metrics = {"semantics_class": S, "diversity_class": D, "images": 2}
    split = SPLITS.get(dataset, ("val",))[0]
    seeds = {"0": {split: metrics}}
    content = {"row": row, "dataset": dataset, "about": of or tiny(dataset), "seeds": seeds}
    written_json(folder / dataset / f"{row}.semantics.json", content)


def instances(folder: Path, row: str, S: float, D: float, of: Any = None) -> None:
    metrics = {"semantics_instance": S, "diversity_instance": D, "images": 2, "instances": 5}
    of = of or tiny("coco", "cocostuff10k")
    data = {"row": row, "dataset": "coco", "about": of, "seeds": {"0": {"val2017": metrics}}}
    written_json(folder / "cocostuff10k" / f"{row}.instances.json", data)


def written_json(path: Path, data: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def written(
    results: Path, table: str, profile: str = "mini", rows: dict[str, Network] = ROWS
) -> tuple[str, dict[str, dict[str, str]]]:
    """Markdown, and the CSV file's lines by row name."""
    write_table(profile, table, TABLES[table], rows, results)
    with open(results / profile / f"{table}.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return (results / profile / f"{table}.md").read_text(encoding="utf-8"), {
        line["row"]: line for line in lines
    }


def cells(markdown: str, method: str) -> list[str]:
    """The cells of the first line of a Markdown table that is about `method`."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    return next(line for line in lines if method in line[:2])


def by_row(built: Built) -> dict[str, Any]:
    return {str(line["row"]): line for line in built.frame.to_dict("records")}


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
    assert compare("m", None, {"0": 40.0})["m_difference"] is None
    assert compare("m", 37.8, None) == {"m_paper": 37.8, "m_ours": None, "m_std": None, "m_difference": None}
    assert gains("m", 38.8, 37.8, None, None)["m_gain_paper"] == 1.0


def test_number_shows_deviation_and_no_negative_zero() -> None:
    assert number("x", 2, "s")({"x": 38.801, "s": 0.254}) == "38.80±0.25"
    assert number("x", 1)({"x": -0.01}) == "0.0"
    assert number("x", 1)({"x": None}) == "—"


def test_a_row_reproduces_each_line_of_the_paper() -> None:
    paper = [published.load(f"table{n}") for n in (1, 2, 3, 4)]
    assert [len(table) for table in paper] == [29, 14, 8, 7]
    assert {line.network for table in paper for line in table} <= set(ROWS.values())
    assert published.splits() == {"cocostuff10k": "test", "ade20k": "val", "cityscapes": "val"}
    assert published.load("table1")[9].number("miou_ss") is None  # the paper's dash


def test_every_measure_names_a_column_of_the_paper() -> None:
    for table in (table1(), table2(), table3(), table4()):
        measures = [measure for section in table.sections for measure in section.measures]
        assert {measure.paper for measure in measures} <= published.load(table.paper)[0].cells.keys()


def test_every_row_of_params_stands_in_a_table(tmp_path: Path) -> None:
    stand = {
        name: {row for row in by_row(build(table, tmp_path, ROWS)) if row} for name, table in TABLES.items()
    }
    assert set().union(*stand.values()) == ROWS.keys()
    assert stand["table1"] & stand["table4"] == {"cocostuff10k-fcn-sgr"}
    assert stand["table3"] == PARAMS.transfer.keys()
    assert stand["table_camvid"] == {row for row, network in ROWS.items() if network.dataset == "camvid"}
    regions = {row for row in stand["table1"] if PARAMS.rows[row].has_regions}
    assert stand["table2"] == regions


def test_a_dataset_that_the_paper_lacks_has_a_table_of_its_own(tmp_path: Path) -> None:
    assert list(TABLES) == ["table1", "table2", "table3", "table4", "table_camvid"]
    # CamVid's rows as if they were of coco, which is described but has no table yet
    more = {**PARAMS.datasets, "coco": PARAMS.datasets["camvid"]}
    table = tables(more)["table_coco"]()  # type: ignore[arg-type]
    rows = {"mine": Network("coco", "fcn", "resnet101"), "other": ROWS["camvid-fcn"]}
    built = build(table, tmp_path, rows)
    assert built.markdown.startswith("No row is trained yet.\n\n# MS-COCO\n") and set(by_row(built)) == {
        "mine"
    }


def test_a_rows_name_changes_no_label_and_no_place(tmp_path: Path) -> None:
    renamed = {f"row-{n}": network for n, network in enumerate(ROWS.values())}
    place = list(ROWS).index("cocostuff10k-fcn-sgr")
    result(tmp_path / "old", "cocostuff10k", "cocostuff10k-fcn-sgr", {"0": 30.0})
    result(tmp_path / "new", "cocostuff10k", f"row-{place}", {"0": 30.0})
    for table in TABLES.values():
        old, new = (
            build(table, tmp_path / folder, rows) for folder, rows in (("old", ROWS), ("new", renamed))
        )
        assert old.markdown == new.markdown


def test_a_row_with_its_own_training_is_the_papers_only_in_the_place_of_one_without(tmp_path: Path) -> None:
    plain = ROWS["ade20k-fcn"]
    longer = replace(plain, training=("iterations = 9",))
    both = by_row(build(table1(), tmp_path, {"longer": longer, "plain": plain}))
    assert (both["plain"]["miou_ss_paper"], both["longer"]["note"][:27]) == (
        42.9,
        "not in the paper's table; n",
    )
    alone = by_row(build(table1(), tmp_path, {"longer": longer}))
    assert (alone["longer"]["miou_ss_paper"], alone["longer"]["method"]) == (42.9, "Dil-FCN, iterations = 9")


def test_a_line_that_no_row_reproduces_stays(tmp_path: Path) -> None:
    frame = build(table1(), tmp_path, {}).frame
    assert len(frame) == 29 and set(frame["row"]) == {""}
    assert set(frame["note"]) == {"not yet trained by this project"}
    assert frame["miou_ss_gain_paper"].count() == 12


def test_our_rows_stand_beside_their_base(tmp_path: Path) -> None:
    ours = {
        "mine": Network("cocostuff10k", "segformer", "mit_b4", "sgr"),
        "its-base": Network("cocostuff10k", "segformer", "mit_b4"),
        "deep": Network("cocostuff10k", "deeplabv3", "resnet101"),
        "camvid-fcn": Network("camvid", "fcn", "resnet101"),
    }
    for row, miou in (("its-base", 30.0), ("mine", 32.5)):
        result(tmp_path, "cocostuff10k", row, {"0": miou})
    built = build(table1(), tmp_path, ours)
    lines = by_row(built)
    assert len(built.frame) == 29 + 2 and "camvid-fcn" not in lines
    methods = [line["method"] for line in built.frame.to_dict("records")]
    assert methods.index("SegFormer + SGR") == methods.index("SegFormer") + 1
    assert methods.index("DeepLabV3") == methods.index("Dil-FCN + SGR") + 1
    sgr = lines["mine"]
    assert (sgr["base"], sgr["split"], sgr["miou_ss_gain_ours"]) == ("its-base", "test", 2.5)
    assert sgr["note"] == "not in the paper's table"
    assert cells(built.markdown, "SegFormer + SGR") == [
        "SegFormer + SGR", "tiny", "**32.50** (+2.50)", "**33.50** (+2.50)", "", "", "", "",
    ]  # fmt: skip
    assert "Not in the paper's table: COCO-Stuff-10K: DeepLabV3, SegFormer + SGR.\n" in built.markdown
    assert lines["deep"]["note"] == "not in the paper's table; not yet trained by this project"
    assert lines["its-base"]["note"] == ""


def test_our_rows_of_table2_have_regions(tmp_path: Path) -> None:
    plain = Network("cityscapes", "deeplabv3", "resnet101")
    tokens(tmp_path, "cityscapes", "mine", 0.25, 0.5)
    built = build(table2(), tmp_path, {"mine": replace(plain, unit="sgr"), "plain": plain})
    assert list(built.frame["level"].value_counts().items()) == [("class", 11 + 1), ("instance", 3)]
    line = by_row(built)["mine"]
    assert (line["split"], line["semantics_ours"], line["note"]) == ("val", 0.25, "not in the paper's table")
    assert "plain" not in by_row(built)


def test_our_variants_follow_the_papers(tmp_path: Path) -> None:
    whole = ROWS["cocostuff10k-fcn-sgr"]
    fewer = replace(whole, changes=("K = 64",))
    assert is_ablation(fewer) and not is_ablation(whole)
    assert not is_ablation(replace(fewer, family="deeplabv3")) and not is_ablation(
        replace(fewer, dataset="ade20k")
    )
    result(tmp_path, "cocostuff10k", "whole", {"0": 30.0})
    result(tmp_path, "cocostuff10k", "fewer", {"0": 29.0})
    frame = build(table4(), tmp_path, {"fewer": fewer, "whole": whole}).frame
    assert list(frame["row"])[-1] == "fewer" and len(frame) == 7 + 1
    last = frame.iloc[-1]
    assert (last["backbone_paper"], last["base"], last["miou_ms_gain_ours"]) == ("", "whole", -1.0)


def test_table1(tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    as_paper = {"about": real("cocostuff10k")}
    result(folder, "cocostuff10k", "cocostuff10k-fcn", {"0": 30.0, "1": 32.0}, as_paper)
    result(folder, "cocostuff10k", "cocostuff10k-fcn-sgr", {"0": 31.0, "1": 35.0}, as_paper)
    markdown, lines = written(tmp_path, "table1")
    assert markdown.splitlines()[0] == (
        "The whole of COCO-Stuff-10K (9000 images of train, 1000 images of test); crops of 512 × 512 pixels, "
        "ResNet-101, 60000 iterations of 16 images."
    )
    assert "†" not in markdown
    others = [
        line for line in lines.values() if line["row"] not in ("cocostuff10k-fcn", "cocostuff10k-fcn-sgr")
    ]
    assert len(others) > 27
    assert {line["note"].rpartition("; ")[2] for line in others} == {"not yet trained by this project"}
    assert "— nothing to measure, or not trained yet.\n" in markdown
    sgr = lines["cocostuff10k-fcn-sgr"]
    assert float(sgr["miou_ss_ours"]) == 33.0  # mean of 31 and 35
    assert float(sgr["miou_ss_std"]) == pytest.approx(8**0.5)
    assert float(sgr["miou_ss_difference"]) == pytest.approx(33 - 38.8)
    assert float(sgr["miou_ms_difference"]) == pytest.approx(34 - 39.7)
    assert (float(sgr["miou_ss_gain_paper"]), float(sgr["miou_ss_gain_ours"])) == (1.0, 2.0)
    assert float(sgr["miou_ss_gain_std"]) == pytest.approx(2**0.5)  # gains 1 and 3
    assert (sgr["backbone_ours"], sgr["parameters"], sgr["seeds"]) == ("tiny", "1250000", "2")
    shown = cells(markdown, "Dil-FCN + SGR")
    assert shown == [
        "Dil-FCN + SGR", "tiny",
        "**33.00±2.83** (+2.00±1.41) [38.8]", "**34.00±2.83** (+2.00±1.41) [39.7]", "—", "—", "—", "—",
    ]  # fmt: skip
    assert cells(markdown, "MaskFormer + SGR") == ["MaskFormer + SGR", "ResNet-101", "—", "—", "", "", "", ""]
    assert "In brackets the paper's number, where images and schedule are the paper's." in markdown
    assert "Each number is the mean over n = 2 seeds ± the sample standard deviation.\n" in markdown
    assert lines["cocostuff10k-segformer"]["miou_ss_paper"] == ""
    assert lines["cityscapes-fcn-sgr"]["miou_ss_gain_paper"] == "0.8"  # where the paper prints 0.7
    summary = json.loads((folder / "summary" / "table1.json").read_text())
    assert summary == {"cocostuff10k": {"gain_ss": 2.0, "gain_ms": 2.0}}


def test_table2(tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    result(folder, "cityscapes", "cityscapes-fcn-sgr", {"0": 30.0})
    tokens(folder, "cityscapes", "cityscapes-fcn-sgr", 0.25, 0.5, real("cityscapes"))
    markdown, _ = written(tmp_path, "table2")
    class_level, instance_level = markdown.split("## Instance level")
    assert "crowd regions and stuff are left out" in instance_level
    assert cells(class_level, "Dil-FCN + SGR") == [
        "Dil-FCN + SGR", "tiny", "—", "—", "—", "—", "0.250 [0.293]", "0.500 [0.469]"
    ]  # fmt: skip
    assert cells(class_level, "method")[-2:] == ["Cityscapes S_C ↓", "Cityscapes D_C ↑"]
    assert cells(instance_level, "method")[2:] == ["S_I ↓", "D_I ↑"]
    assert cells(instance_level, "Dil-FCN + SGR")[2:] == ["—", "—"]


def test_instance_level_is_of_the_networks_trained_on_cocostuff(tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    for row in ("cocostuff10k-upernet-sgr", "cocostuff10k-fcn-glore", "cocostuff10k-fcn-sgr-graph"):
        result(folder, "cocostuff10k", row, {"0": 30.0})
        instances(folder, row, 0.3, 0.2, real("coco", "cocostuff10k", backbone=ROWS[row].backbone))
    built = build(table2(), folder, ROWS)
    level = built.frame[built.frame["level"] == "instance"].set_index("row")
    assert set(level["dataset"]) == {"coco"} and set(level["split"]) == {"val2017"}
    upernet = level.loc["cocostuff10k-upernet-sgr"]
    assert upernet["semantics_difference"] == pytest.approx(0.3 - 0.328)
    assert upernet["diversity_difference"] == pytest.approx(0.2 - 0.307)
    assert (upernet["backbone_ours"], upernet["note"]) == ("tiny", "")
    assert level.loc["cocostuff10k-fcn-glore"]["note"] == "not in the paper's table"
    assert level.loc["cocostuff10k-maskformer"]["note"] == "not yet trained by this project"
    assert "cocostuff10k-fcn-sgr-graph" not in level.index  # Table 4's
    assert built.summary == {}  # as long as no class level is measured
    graph = by_row(build(table4(), folder, ROWS))["cocostuff10k-fcn-sgr-graph"]
    assert (graph["s_i_ours"], graph["d_i_ours"]) == (0.3, 0.2)
    assert graph["s_i_difference"] == pytest.approx(0.3 - 0.345)


def test_table2_shows_a_dash_where_no_pixel_is_labelled(tmp_path: Path) -> None:
    tokens(tmp_path / "mini", "ade20k", "ade20k-fcn-sgr", None, None)
    _, lines = written(tmp_path, "table2")
    assert lines["ade20k-fcn-sgr"]["semantics_ours"] == ""
    assert json.loads((tmp_path / "mini" / "summary" / "table2.json").read_text()) == {}


def test_table4_compares_multi_scale(tmp_path: Path) -> None:
    folder = tmp_path / "paper"
    for row, miou in (("cocostuff10k-fcn-sgr", 38.0), ("cocostuff10k-fcn-sgr-no-cosine", 37.0)):
        result(folder, "cocostuff10k", row, {"0": miou}, {"about": real("cocostuff10k")})
        tokens(folder, "cocostuff10k", row, 0.3, 0.4, real("cocostuff10k"))
    markdown, lines = written(tmp_path, "table4", "paper")
    assert len(lines) == 7
    whole, ablated = lines["cocostuff10k-fcn-sgr"], lines["cocostuff10k-fcn-sgr-no-cosine"]
    assert float(whole["miou_ms_ours"]) == 39.0
    assert float(whole["miou_ms_difference"]) == pytest.approx(-0.7)
    assert (whole["base"], whole["miou_ms_gain_paper"]) == ("", "")
    assert (float(ablated["miou_ms_gain_paper"]), float(ablated["miou_ms_gain_ours"])) == (-2.0, -1.0)
    assert float(ablated["s_c_difference"]) == pytest.approx(0.3 - 0.519)
    assert (whole["s_i_paper"], whole["s_i_ours"]) == ("0.315", "")
    assert [line["note"] for line in lines.values()].count("not yet trained by this project") == 5
    # where more than one is compared, the best is bold
    assert cells(markdown, "Dil-FCN + SGR")[2:4] == ["**39.00** [39.7]", "**0.300** [0.226]"]
    assert cells(markdown, "Dil-FCN + SGR, w/o cosine")[2] == "38.00 (-1.00) [37.7]"


def test_camvid_table_has_every_row_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    for row, miou in (
        ("camvid-fcn-sgr-no-token-supervision", 33.0),
        ("camvid-fcn-sgr", 34.0),
        ("camvid-fcn", 32.0),
    ):
        whole = {"train": 367, "val": 101, "test": 233}
        half = {"resize": 0.5, "crop": [160, 208], "iterations": 540, "backbone": "efficientnet_lite0"}
        about = tiny("camvid", images=whole, source="folder", **half)
        result(folder, "camvid", row, {"0": miou, "1": miou + 2}, {"about": about})
    tokens(folder, "camvid", "camvid-fcn-sgr", 0.3, 0.4, about)
    markdown, lines = written(tmp_path, "table_camvid", "small")
    assert list(lines) == [
        "camvid-fcn",
        "camvid-fcn-glore",
        "camvid-fcn-sgr",
        "camvid-fcn-sgr-no-token-supervision",
    ]
    assert cells(markdown, "Dil-FCN + SGR") == [
        "Dil-FCN + SGR", "tiny",
        "**35.00±1.41** (+2.00±0.00)", "**36.00±1.41** (+2.00±0.00)",
        "**35.00±1.41** (+2.00±0.00)", "**36.00±1.41** (+2.00±0.00)", "0.300", "0.400",
    ]  # fmt: skip
    assert cells(markdown, "Dil-FCN")[2:4] == ["33.00±1.41", "34.00±1.41"]
    assert cells(markdown, "Dil-FCN + GloRe")[2:] == ["—"] * 6  # not trained
    assert not [name for name in lines["camvid-fcn"] if "paper" in name]
    # of SGR's row on val, not of its ablation
    summary = {"camvid": {"gain_ss": 2.0, "gain_ms": 2.0, "S_C": 0.3, "D_C": 0.4}}
    assert json.loads((folder / "summary" / "table_camvid.json").read_text()) == summary


def test_the_summary_of_table3_is_the_gain_over_imagenet(tmp_path: Path) -> None:
    figures = ("ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l")
    for row, ap in (("coco-imagenet", 40.0), ("coco-sgr", 41.23456), ("coco-sgr-no-token-supervision", 1.0)):
        metrics = {f"{task}_{f}": ap + (task == "mask") for task in ("box", "mask") for f in figures}
        seeds = {"0": {"val2017": metrics}}
        data = {"row": row, "dataset": "coco", "about": tiny("coco"), "seeds": seeds}
        written_json(tmp_path / "coco" / f"{row}.json", data)
    built = build(table3(), tmp_path, ROWS)
    assert built.summary == {"coco": {"gain_box_ap": 1.2346, "gain_mask_ap": 1.2346}}


def test_the_summaries_are_few_numbers() -> None:
    """`dvc exp show` has a column for each."""
    of_dataset = {"table1": 2, "table2": 2, "table3": 2, "table4": 1, "table_camvid": 4}
    for name, table in TABLES.items():
        names = {
            name
            for section in table.sections
            for measure in section.measures
            for name in (measure.summary_gain, measure.summary_mean)
        } - {""}
        assert len(names) == of_dataset[name], name


def test_a_new_column_is_one_measure(tmp_path: Path) -> None:
    table = TABLES["table_camvid"]
    (section,) = table.sections
    accuracy = Measure("accuracy", "val accuracy ↑", "pixel_accuracy_ss", split="val")
    more = replace(table, sections=(replace(section, measures=(*section.measures, accuracy)),))
    metrics = {"miou_ss": 1.0, "miou_ms": 2.0, "pixel_accuracy_ss": 93.5, **SOUND}
    seeds = {"0": {"val": metrics, "test": metrics}}
    content = {"row": "a", "dataset": "camvid", "about": tiny("camvid"), "seeds": seeds}
    written_json(tmp_path / "camvid" / "a.json", content)
    built = build(more, tmp_path, {"a": ROWS["camvid-fcn"]})
    assert by_row(built)["a"]["accuracy_ours"] == 93.5
    assert cells(built.markdown, "Dil-FCN")[-1] == "93.50"


def test_parameters_are_read_beside_a_seeds_splits_too(tmp_path: Path) -> None:
    metrics = {"miou_ss": 1.0, "miou_ms": 2.0, **SOUND}
    seeds = {"0": {"val": metrics, "test": metrics, "parameters": 7}}
    data = {"row": "camvid-fcn", "dataset": "camvid", "about": tiny("camvid"), "seeds": seeds}
    written_json(tmp_path / "mini" / "camvid" / "camvid-fcn.json", data)
    assert written(tmp_path, "table_camvid")[1]["camvid-fcn"]["parameters"] == "7"


def test_tables_are_the_same_bytes_again(tmp_path: Path) -> None:
    result(tmp_path / "mini", "camvid", "camvid-fcn", {"0": 1 / 3})
    written(tmp_path, "table_camvid")
    paths = sorted((tmp_path / "mini").rglob("table_camvid.*"))
    assert len(paths) == 4
    before = [path.read_bytes() for path in paths]
    written(tmp_path, "table_camvid")
    assert [path.read_bytes() for path in paths] == before
    assert any(repr(1 / 3).encode() in text for text in before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row": "ade20k-fcn-sgr"}, "is the result of row 'ade20k-fcn-sgr'"),
        ({"seeds": {}}, "must hold seeds"),
        (
            {"seeds": {"0": {"val": {"miou_ss": 1.0, **SOUND}}}},
            "miou_ms must be a finite number, not missing",
        ),
        ({"seeds": {"0": {"val": {"miou_ss": float("nan")}}}}, "miou_ss must be a finite number, not nan"),
        ({"seeds": {"0": {"train": {}}}}, "seed 0, split val"),
        ({"parameters": "many"}, "parameters must be"),
        ({"about": None}, "is of an older version: run `make repro`, which makes it anew$"),
        ({"about": {"source": "folder"}}, "is of an older version"),
    ],
)
def test_malformed_result_names_its_file(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = result(tmp_path / "mini", "ade20k", "ade20k-fcn", {"0": 1.0}, change)
    with pytest.raises(UserError, match=message) as error:
        written(tmp_path, "table1")
    assert str(path) in str(error.value)


def test_missing_profile_and_results(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*huge"):
        written(tmp_path, "table1", "huge")
    (tmp_path / "mini").mkdir()
    with pytest.raises(UserError, match="dvc repro table_camvid"):
        written(tmp_path, "table_camvid")
    with pytest.raises(UserError, match="CamVid: no row of"):
        written(tmp_path, "table_camvid", rows={})


# What a number claims


def below(markdown: str) -> list[str]:
    """The lines that say what the marks mean."""
    return [line for line in markdown.splitlines() if line.startswith(("Every number: ", "† ", "‡ "))]


def test_the_papers_schedule_is_that_of_the_profile_paper(tmp_path: Path) -> None:
    found = entries(checked(tmp_path, {"profile": "paper"}), ROOT)
    told = {
        entry.row: entry.training for key, entry in found.items() if key.startswith(("train/", "transfer/"))
    }
    assert told.keys() == ROWS.keys()
    for row, training in told.items():
        if (dataset := training["dataset"]) != "camvid":
            schedule = training["iterations"], training["batch_size"], training.get("crop")
            assert schedule == published.schedules()[dataset], row
            assert training.get("resize", 1.0) == 1.0 and training["backbone"] == ROWS[row].backbone, row


def test_a_part_or_another_schedule_has_no_difference_to_the_paper(tmp_path: Path) -> None:
    """8 of 1000 images and 6 iterations, which the profile's name must not make the paper's."""
    part = real("cocostuff10k", images={"train": 8, "test": 8}, iterations=6)
    result(tmp_path / "paper", "cocostuff10k", "cocostuff10k-fcn-sgr", {"0": 0.68}, {"about": part})
    markdown, lines = written(tmp_path, "table1", "paper")
    assert markdown.splitlines()[0] == (
        "A part of COCO-Stuff-10K (8 of 9000 images of train, 8 of 1000 images of test); crops of 512 × 512 pixels, "
        "ResNet-101, 6 iterations of 16 images."
    )
    line = lines["cocostuff10k-fcn-sgr"]
    assert (line["miou_ss_ours"], line["miou_ss_difference"], line["miou_ss_mark"]) == ("0.68", "", "†")
    assert cells(markdown, "Dil-FCN + SGR")[2:4] == ["0.68", "1.68"] and "[" not in markdown
    assert "The paper's numbers, of other images or another schedule, stand in the CSV file." in markdown
    assert below(markdown) == [
        "Every number: measured on a part of the dataset: 8 of 1000 images of test; trained on a part of the dataset: "
        "8 of 9000 images of train; another schedule than the paper's 60000 iterations of 16 crops of 512 × 512 pixels."
    ]


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (real("cocostuff10k", iterations=59_999), "another schedule than the paper's 60000 iterations of 16"),
        (real("cocostuff10k", batch_size=8), "another schedule"),
        (real("cocostuff10k", crop=[512, 520]), "another schedule"),
        (real("cocostuff10k", resize=0.5), "another schedule"),
        (real("cocostuff10k", backbone="resnet50"), "another backbone than the paper's"),
        (
            real("cocostuff10k", images={"test": 999}),
            "measured on a part of the dataset: 999 of 1000 images of test",
        ),
        (
            real("cocostuff10k", images={"train": 1}),
            "trained on a part of the dataset: 1 of 9000 images of train",
        ),
        (real("cocostuff10k") | {"source": "generated"}, "generated images, not the real dataset"),
    ],
)
def test_a_row_that_deviates_has_a_dash_beside_one_that_does_not(
    tmp_path: Path, about: dict[str, Any], words: str
) -> None:
    result(tmp_path, "cocostuff10k", "cocostuff10k-fcn", {"0": 37.0}, {"about": real("cocostuff10k")})
    result(tmp_path, "cocostuff10k", "cocostuff10k-fcn-sgr", {"0": 38.0}, {"about": about})
    built = build(table1(), tmp_path, ROWS)
    assert cells(built.markdown, "Dil-FCN")[2] == "37.00 [37.8]"
    assert cells(built.markdown, "Dil-FCN + SGR")[2] == "38.00† (+1.00)"  # not compared, nor the best of both
    (line,) = below(built.markdown)
    assert line.startswith(f"† {words}") and line.endswith(" (Dil-FCN + SGR).") and ";" not in line


def test_mixed_rows_say_the_range(tmp_path: Path) -> None:
    result(tmp_path, "camvid", "camvid-fcn", {"0": 37.0})
    more = {"about": tiny("camvid", iterations=160, batch_size=2, backbone="tiny_resnet", crop=[64, 64])}
    result(tmp_path, "camvid", "camvid-fcn-sgr", {"0": 38.0}, more)
    assert build(TABLES["table_camvid"], tmp_path, ROWS).markdown.splitlines()[0] == (
        "Generated images, not the real dataset: CamVid (64 images in the place of 367 of train, 8 images in the place "
        "of 101 of val, 8 images in the place of 233 of test); crops of 64 × 64 to 96 × 96 pixels, tiny, tiny ResNet, "
        "64 to 160 iterations of 2 to 4 images."
    )


@pytest.mark.parametrize("collapsed", ["camvid-fcn", "camvid-fcn-sgr"])
def test_nothing_is_gained_by_or_from_a_collapsed_row(tmp_path: Path, collapsed: str) -> None:
    for row, miou in (("camvid-fcn", 30.0), ("camvid-fcn-sgr", 36.0)):
        path = result(tmp_path, "camvid", row, {"0": miou, "1": miou})
        if row == collapsed:
            content = json.loads(path.read_text())
            content["seeds"]["1"]["val"]["collapsed_ss"] = True
            path.write_text(json.dumps(content))
            name = ROWS[row].method
    tokens(tmp_path, "camvid", "camvid-fcn-sgr", 0.3, 0.4)
    built = build(TABLES["table_camvid"], tmp_path, ROWS)
    sgr = cells(built.markdown, "Dil-FCN + SGR")
    own = cells(built.markdown, name)[2]
    assert own == f"{30 if collapsed == 'camvid-fcn' else 36}.00±0.00‡"
    assert "(" not in sgr[2] and sgr[3] == "**37.00±0.00** (+6.00±0.00)"
    expected = {"gain_ms": 6.0, "S_C": 0.3, "D_C": 0.4}
    assert built.summary == {"camvid": expected}
    words = "predicts one class for everything with some seeds"
    tokens_too = "; of a network that predicts one class for everything with some seeds"
    tokens_too = f"{tokens_too} ({name})" if collapsed == "camvid-fcn-sgr" else ""
    assert below(built.markdown)[1] == f"‡ {words} ({name}){tokens_too}."
    assert words in by_row(built)[collapsed]["marks"]


def test_a_row_must_beat_the_most_frequent_class(tmp_path: Path) -> None:
    for row, miou in (("camvid-fcn", 0.5), ("camvid-fcn-sgr", 0.51)):
        result(tmp_path, "camvid", row, {"0": miou})
    built = build(TABLES["table_camvid"], tmp_path, ROWS)
    assert cells(built.markdown, "Dil-FCN")[2:4] == ["0.50‡", "1.50"]
    assert cells(built.markdown, "Dil-FCN + SGR")[2] == "0.51 (+0.01)"
    assert below(built.markdown)[1] == "‡ no better than the most frequent class everywhere (Dil-FCN)."


def test_a_detector_is_compared_where_its_start_is_too(tmp_path: Path) -> None:
    figures = ("ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l")
    starts = {
        "coco-sgr": real("cocostuff10k")["training"],
        "coco-glore": real("cocostuff10k", images={"train": 8}, iterations=6)["training"],
    }
    for row, start in starts.items():
        metrics: dict[str, Any] = {f"{task}_{f}": 40.0 for task in ("box", "mask") for f in figures}
        metrics |= {"box_finds_nothing": False, "mask_finds_nothing": row == "coco-glore"}
        about = real("coco", start=start)
        data = {"row": row, "dataset": "coco", "about": about, "seeds": {"0": {"val2017": metrics}}}
        written_json(tmp_path / "coco" / f"{row}.json", data)
    markdown = build(table3(), tmp_path, ROWS).markdown
    boxes, masks = markdown.split("## Masks")
    assert boxes.splitlines()[0] == (
        "The whole of MS-COCO (118287 images of train2017, 5000 images of val2017); shorter sides of 640 to 800 "
        "pixels, ResNet-101, 270000 iterations of 8 images."
    )
    assert cells(boxes, "Mask R-CNN C4 + SGR")[2] == "40.00 [41.91]"
    assert cells(boxes, "Mask R-CNN C4 + GloRe")[2] == "40.00†"
    assert cells(masks, "Mask R-CNN C4 + GloRe")[2] == "40.00†‡"
    assert below(boxes) == [
        "† from a network trained on a part of its dataset: 8 of 9000 images of train (Mask R-CNN C4 + GloRe); from a "
        "network of another schedule than the paper's 60000 iterations of 16 crops of 512 × 512 pixels "
        "(Mask R-CNN C4 + GloRe)."
    ]
    assert below(masks)[1] == "‡ finds nothing (Mask R-CNN C4 + GloRe)."


# What people see


def shown(built: Built) -> list[list[str]]:
    """The cells of every line of every grid, headers too, as they are read."""
    lines = [
        line for grid in built.grids for line in [[" ".join(column) for column in grid.columns], *grid.rows]
    ]
    return [[cell.replace("**", "") for cell in line] for line in lines]


@pytest.mark.parametrize("profile", PARAMS.profiles)
def test_no_table_of_any_profile_has_more_than_8_columns(tmp_path: Path, profile: str) -> None:
    params = checked(tmp_path, {"profile": profile})
    specified = tables(splits_of(params))
    assert specified.keys() == TABLES.keys()
    for table in specified.values():
        assert {len(line) for line in shown(build(table(), tmp_path, ROWS))} <= set(range(4, 9))
    assert 1 + len(params.chosen.sweep.L) <= 8
    assert len(overhead.columns()) <= 8


@pytest.mark.parametrize("table", TABLES)
def test_a_line_is_as_wide_as_a_page(table: str) -> None:
    """At most 130 characters, of numbers of one seed; of more, they break between number and gain."""
    built = build(TABLES[table], ROOT / "results" / "mini", ROWS)
    for grid in built.grids:
        rows = [[cell.replace("**", "") for cell in row] for row in grid.rows]
        assert sum(max(map(len, column)) for column in zip(*rows, strict=True)) <= 130
    longest = max((word for line in shown(built) for cell in line[2:] for word in cell.split()), key=len)
    assert len(longest) <= 14, longest


def test_the_best_of_a_framework_and_backbone_is_bold(tmp_path: Path) -> None:
    """Of both where they are shown alike; never of one alone, nor a row that has failed."""
    for row, miou in (
        ("ade20k-fcn", 30.0),
        ("ade20k-fcn-glore", 30.001),
        ("ade20k-fcn-sgr", 29.0),
        ("ade20k-upernet", 50.0),
        ("ade20k-deeplabv3", 20.0),
    ):
        result(tmp_path, "ade20k", row, {"0": miou})
    failed = result(tmp_path, "ade20k", "ade20k-deeplabv3-sgr", {"0": 21.0})
    failed.write_text(failed.read_text().replace('"collapsed_ss": false', '"collapsed_ss": true'))
    markdown = build(table1(), tmp_path, ROWS).markdown
    assert cells(markdown, "Dil-FCN")[4] == "**30.00**"
    assert cells(markdown, "Dil-FCN + GloRe")[4] == "**30.00** (+0.00)"
    assert cells(markdown, "Dil-FCN + SGR")[4] == "29.00 (-1.00)"
    assert cells(markdown, "UperNet")[4] == "50.00"
    assert cells(markdown, "DeepLabV3")[4:6] == ["20.00", "21.00"]
    assert cells(markdown, "DeepLabV3 + SGR")[4:6] == ["21.00‡", "**22.00** (+1.00)"]


def test_of_S_the_lowest_of_a_column_is_bold(tmp_path: Path) -> None:
    for row, S in (("ade20k-fcn-glore", 0.7), ("ade20k-maskformer", 0.3), ("ade20k-fcn-sgr", 0.5)):
        tokens(tmp_path, "ade20k", row, S, S)
    markdown = build(table2(), tmp_path, ROWS).markdown
    assert cells(markdown, "MaskFormer")[4:6] == ["**0.300**", "0.300"]
    assert cells(markdown, "Dil-FCN + GloRe")[4:6] == ["0.700", "**0.700**"]


def test_n_is_stated_once_with_the_rows_that_have_another(tmp_path: Path) -> None:
    for row, n in (
        ("ade20k-fcn", 2),
        ("ade20k-fcn-sgr", 2),
        ("cityscapes-fcn", 2),
        ("cityscapes-fcn-sgr", 1),
    ):
        result(tmp_path, row.partition("-")[0], row, {str(seed): 30.0 + seed for seed in range(n)})
    (told,) = [line for line in build(table1(), tmp_path, ROWS).markdown.splitlines() if "n = " in line]
    assert told.endswith(
        "Each number is the mean over n = 2 seeds ± the sample standard deviation; of one seed (n = 1): Cityscapes: "
        "Dil-FCN + SGR."
    )


def test_lines_are_named_by_dataset_where_there_are_several() -> None:
    of = [("A", "x"), ("A", "y"), ("A", "z"), ("B", "x"), ("B", "y")]
    assert named([("A", "x"), ("B", "x"), ("B", "y")], of) == "A: x; B"
    assert named([("A", "x"), ("A", "y")], of) == "A: all but z"
    assert named([("A", "x")], of[:3]) == "x" and named([("A", "y"), ("A", "z")], of[:3]) == "all but x"


def test_two_rows_of_one_network_have_a_line_each(tmp_path: Path) -> None:
    twice = {"a": ROWS["camvid-fcn"], "b": ROWS["camvid-fcn"]}
    for row, miou in (("a", 30.0), ("b", 31.0)):
        result(tmp_path, "camvid", row, {"0": miou})
    (grid,) = build(TABLES["table_camvid"], tmp_path, twice).grids
    assert [row[2] for row in grid.rows] == ["30.00", "**31.00**"]
