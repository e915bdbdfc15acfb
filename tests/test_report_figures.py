"""Figures: their bytes depend on the numbers alone, and thin input still gives a picture."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from sgr.datasets import describe
from sgr.errors import UserError
from sgr.files import write_json
from sgr.report import looks, palette, shown, style
from sgr.report.average_precision import MEASURES, draw_average_precision, write_average_precision
from sgr.report.captions import first_name, percent
from sgr.report.class_iou import MOST_CLASSES, draw_class_iou, write_class_iou
from sgr.report.curves import draw_curves, read_curve, smooth, write_curves
from sgr.report.dots import Dots
from sgr.report.examples import load
from sgr.report.labels import Network
from sgr.report.overlay import heat, on_image, vote
from sgr.report.predictions import (
    WRONG,
    Predicted,
    draw_predictions,
    error_map,
    read,
    write_predictions,
    wrong,
)
from sgr.report.tokens import draw_tokens, write_tokens
from tests.figure_checks import check, check_files
from tests.made_of import tiny

CLASSES = ("sky", "car", "tree")
COLOURS = palette.distinct(3)
FCN = Network("camvid", "fcn", "resnet101")
GLORE, SGR = replace(FCN, unit="glore"), replace(FCN, unit="sgr")
MASKS = replace(FCN, family="maskformer")
TRAINING = tiny("camvid")["training"]
ROWS = {"plain": FCN, "first": SGR, "second": GLORE, "elsewhere": replace(SGR, dataset="ade20k")}


def write_examples(
    path: Path, regions: list[int], name: str = "street", more: dict[str, Any] | None = None
) -> None:
    """One example a number of regions; the label's left half is sky, the right half car, one row ignored."""
    arrays: dict[str, Any] = {"count": np.array(len(regions))}
    for number, count in enumerate(regions):
        label = np.repeat(np.array([[0] * 20 + [1] * 20], dtype=np.uint8), 30, axis=0)
        label[0] = 255
        arrays[f"image_{number}"] = np.full((30, 40, 3), 90, dtype=np.uint8)
        arrays[f"label_{number}"] = label
        arrays[f"regions_{number}"] = np.linspace(0, 1, count * 12, dtype=np.float16).reshape(count, 3, 4)
        arrays[f"name_{number}"] = np.array(f"{name}_{number}")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **(arrays | (more or {})))


def texts(figure: Figure) -> list[str]:
    """Every word of a figure, its legends' too."""
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [text.get_text() for text in figure.texts] + legends


def test_token_figure_is_the_same_bytes_again(tmp_path: Path) -> None:
    for row in ("first", "second"):
        write_examples(tmp_path / "npz" / f"{row}.npz", [2, 3])
    pictures = []
    for name in ("one.png", "two.png"):
        write_tokens(tmp_path / "npz", "camvid", ROWS, tmp_path / name)
        pictures.append(check_files(tmp_path / name))
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_token_figure_shows_classes_and_groups(tmp_path: Path, rows: int) -> None:
    write_examples(tmp_path / "a.npz", [2, 0, 6], name="a_street_with_a_very_long_name")
    examples = load(tmp_path / "a.npz")
    networks = [SGR, GLORE, replace(SGR, changes=("w/o focal, dice and cosine",)), MASKS][:rows]
    with style.drawing():
        figure = draw_tokens(
            [(network, examples) for network in networks], CLASSES, COLOURS, "Not shown: it."
        )
    check(figure)
    words = texts(figure)
    assert {"SGR", "sky", "car", "ignored", "no active region", "the region's largest weight"} <= set(words)
    assert "tree" not in words  # not in these images
    assert any("Not shown: it." in of_caption for of_caption in words)
    across = {1: 3, 2: 3}.get(rows, 2)
    images = 2 if rows == 1 else 3  # those of a single row are large, and the page is full
    of_row = 2 + (
        min(6, 2 * across) if images == 3 else 0
    )  # regions: 2 of the first image, none of the second
    assert len(figure.axes) == 2 * images + rows * of_row + 1  # images and labels, and the scale of the heat


def test_of_many_images_those_that_fit_are_shown(tmp_path: Path) -> None:
    write_examples(tmp_path / "a.npz", [4] * 8)
    with style.drawing():
        figure = draw_tokens([(SGR, load(tmp_path / "a.npz"))] * 2, CLASSES, COLOURS)
    check(figure)
    assert any("4 of the 8 example images." in words.replace("\n", " ") for words in texts(figure))


def test_rows_of_two_heads_are_told_apart(tmp_path: Path) -> None:
    deeplab = replace(SGR, family="deeplabv3")
    assert shown.titles([SGR, GLORE]) == ["SGR", "GloRe"]
    assert shown.titles([SGR, deeplab]) == ["Dil-FCN + SGR", "DeepLabV3 + SGR"]
    both = [SGR, replace(SGR, backbone="swin_t")]
    assert shown.titles(both) == ["Dil-FCN + SGR, ResNet-101", "Dil-FCN + SGR, Swin-T"]


MANY = {
    "plain": FCN,
    "glore": GLORE,
    "sgr": SGR,
    "graph": replace(SGR, changes=("with graph",)),
    "deeplabv3-sgr": replace(SGR, family="deeplabv3"),
    "maskformer": MASKS,
    "maskformer-sgr": replace(MASKS, unit="sgr"),
    "upernet": Network("camvid", "upernet", "swin_t"),
}


def test_of_many_rows_four_are_shown_and_the_others_named() -> None:
    assert shown.leading(MANY) == ["plain", "glore", "sgr", "maskformer"]
    assert shown.leading(MANY, MANY.keys() - {"glore"}) == ["plain", "sgr", "graph", "maskformer"]
    assert shown.leading({"upernet": MANY["upernet"]}) == ["upernet"] and shown.leading({}) == []
    assert shown.of_leader(MANY, MANY) == ["plain", "glore", "sgr", "graph"]
    told = "Not shown: Dil-FCN (SGR, with graph), DeepLabV3 (SGR), MaskFormer (SGR), UperNet."
    assert shown.left_out(MANY, shown.leading(MANY)) == told
    assert shown.left_out(MANY, MANY) == ""


def test_tokens_of_rows_with_regions_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for row in MANY:
        write_examples(tmp_path / f"{row}.npz", [0 if row == "maskformer" else 1])
    drawn: list[Network] = []

    def remember(groups: Any, *_: Any) -> Figure:
        drawn[:] = [network for network, _ in groups]
        return Figure()

    monkeypatch.setattr("sgr.report.tokens.draw_tokens", remember)
    write_tokens(tmp_path, "camvid", MANY, tmp_path / "tokens.png")
    # MaskFormer has nothing to show, plain rows no regions; ablations come last
    assert drawn == [MANY[row] for row in ("sgr", "glore", "deeplabv3-sgr", "graph")]


def test_every_unit_has_its_look_and_no_row_anothers() -> None:
    found = [tuple(look.values()) for look in looks.looks(list(MANY.values()))]
    assert len(set(found)) == len(MANY)
    assert looks.looks([GLORE, SGR]) == looks.looks([FCN, GLORE, SGR])[1:]


def test_words_fit_their_place() -> None:
    assert style.cut("car", 1.0) == "car" and style.cut("water-other", 0.45) == "water…"
    assert style.cut_start("COCO_train2014_000000500001", 0.6).startswith("…0")
    lines = style.wrapped("Not shown: " + "MaskFormer, " * 30, style.ONE_COLUMN)
    assert len(lines) > 3 and all(style.width(line) <= style.ONE_COLUMN for line in lines)


def test_small_shares_are_not_none_and_large_ones_not_all() -> None:
    shares = (0, 0.004, 0.01, 0.92, 0.996, 1)
    assert [percent(share) for share in shares] == ["0%", "<1%", "1%", "92%", ">99%", "100%"]


def predicted(images: int) -> list[Predicted]:
    """Two methods: all sky, and all right but the ignored row."""
    right = np.repeat(np.array([[0] * 20 + [1] * 20], dtype=np.uint8), 30, axis=0)
    return [Predicted(FCN, [np.zeros_like(right)] * images), Predicted(SGR, [right] * images)]


def test_predictions_stand_over_their_errors(tmp_path: Path) -> None:
    write_examples(tmp_path / "a.npz", [1, 1])
    with style.drawing():
        figure = draw_predictions(predicted(2), load(tmp_path / "a.npz"), CLASSES, COLOURS, "Not shown: it.")
    check(figure)
    words = texts(figure)
    assert words.count("50% wrong") == words.count("0% wrong") == 2
    assert {"Dil-FCN", "Dil-FCN + SGR", "label", "sky", "car", "ignored", "wrong"} <= set(words)
    assert len(figure.axes) == 2 * 2 * 3


def test_errors_are_those_on_labelled_pixels() -> None:
    label = np.array([[0, 1, 255]], dtype=np.uint8)
    errors = wrong(np.array([[1, 1, 1]], dtype=np.uint8), label, 3)
    assert errors.tolist() == [[True, False, False]]
    picture = error_map(np.zeros((1, 3, 3), np.uint8), errors, label < 3)
    assert picture[0].tolist() == [list(WRONG), [110] * 3, list(palette.IGNORED)]


def test_predictions_are_the_same_bytes_again_and_name_what_is_missing(tmp_path: Path) -> None:
    write_examples(tmp_path / "tokens" / "first.npz", [1, 1])
    maps = {
        f"{row}_{n}": of.maps[n]
        for row, of in zip(("plain", "first"), predicted(2), strict=True)
        for n in (0, 1)
    }
    np.savez_compressed(tmp_path / "predictions.npz", **maps)
    pictures = []
    for name in ("one.png", "two.png"):
        write_predictions(tmp_path / "predictions.npz", tmp_path / "tokens", "camvid", ROWS, tmp_path / name)
        pictures.append(check_files(tmp_path / name))
    assert pictures[0] == pictures[1]
    with pytest.raises(UserError, match=r"predictions\.npz does not hold predictions on 3 images"):
        read(tmp_path / "predictions.npz", 3)


def result(row: str, of_split: dict[str, Any], seeds: int = 1, dataset: str = "camvid") -> dict[str, Any]:
    split = "val2017" if dataset == "coco" else "val"
    about = {"source": "generated", "splits": {split: {"images": 8, "official": 101}}, "training": TRAINING}
    by_seed = {str(seed): {split: of_split} for seed in range(seeds)}
    return {"row": row, "dataset": dataset, "backbone": "tiny", "about": about, "seeds": by_seed}


def test_iou_of_classes_is_drawn_and_says_what_of(tmp_path: Path) -> None:
    classes = describe("camvid").classes
    iou = dict.fromkeys(classes, 30.0) | {"sky": None}
    for row in ("plain", "first"):
        write_json(tmp_path / "camvid" / f"{row}.json", result(row, {"iou_ss": iou}))
    pictures = []
    for name in ("one.png", "two.png"):
        write_class_iou(tmp_path, "camvid", "val", ROWS, tmp_path / name)
        pictures.append(check_files(tmp_path / name))
    assert pictures[0] == pictures[1]
    write_json(tmp_path / "camvid" / "first.json", result("first", {}))
    with pytest.raises(UserError, match=r"first\.json: each seed must hold iou_ss by class on val"):
        write_class_iou(tmp_path, "camvid", "val", ROWS, tmp_path / "one.png")


def test_of_many_classes_those_that_differ_are_shown() -> None:
    classes = describe("cocostuff10k").classes
    values = np.zeros((2, 4, len(classes)))
    values[0, :, 3], values[1, :, 100], values[:, :, 7] = 60, 50, np.nan
    methods = [Dots(network, of) for network, of in zip((FCN, MANY["graph"]), values, strict=True)]
    with style.drawing():
        figure = draw_class_iou(methods, classes, "COCO.", "Not shown: it.")
    check(figure)
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(names) == MOST_CLASSES and {first_name(classes[3]), first_name(classes[100])} <= {*names}
    words = figure.get_supxlabel().replace("\n", " ")
    assert f"Of {len(classes) - 1} classes those {MOST_CLASSES}" in words and "Not shown: it." in words
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "Dil-FCN",
        "Dil-FCN + SGR, with graph",
    ]


def test_average_precision_of_every_start_is_drawn_on_one_scale(tmp_path: Path) -> None:
    rows = {
        name: Network("coco", "maskrcnn_c4", "resnet101", unit, changes=changes)
        for name, unit, changes in (
            ("imagenet", "none", ()),
            ("glore", "glore", ()),
            ("sgr", "sgr", ()),
            ("unsupervised", "sgr", ("w/o focal, dice and cosine",)),
        )
    }
    metrics = {f"{kind}_{name}": 40.0 for kind in ("box", "mask") for name in MEASURES} | {"mask_ap50": 60.0}
    metrics |= {"box_ap_l": None, "mask_ap_l": None}
    for row in rows:
        write_json(tmp_path / "coco" / f"{row}.json", result(row, metrics, dataset="coco"))
    write_average_precision(tmp_path, "coco", "val2017", rows, tmp_path / "ap.png")
    check_files(tmp_path / "ap.png")
    values = np.full((2, len(MEASURES)), 40.0)
    values[:, -1] = np.nan
    methods = [{kind: Dots(network, values) for kind in ("box", "mask")} for network in rows.values()]
    with style.drawing():
        figure = draw_average_precision(methods, "MS-COCO.")
    check(figure)
    boxes, masks = figure.axes
    assert len(boxes.get_yticks()) == len(MEASURES) - 1  # there are no large instances
    assert boxes.get_xlim() == masks.get_xlim() and boxes.get_xlim()[1] > 40
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[0] == "Mask R-CNN C4" and len(legend) == 4


@pytest.mark.parametrize("stage", ["class_iou", "average_precision"])
def test_without_results_the_figure_is_a_sentence(tmp_path: Path, stage: str) -> None:
    write = {"class_iou": write_class_iou, "average_precision": write_average_precision}[stage]
    write(tmp_path, "camvid", "val", ROWS, tmp_path / "figure.png")
    check_files(tmp_path / "figure.png")


def test_bytes_do_not_hang_on_the_process(tmp_path: Path) -> None:
    """Sets of glyphs are iterated in another order in another process."""
    code = "import sys; from pathlib import Path; from sgr.report import style; "
    code += (
        "style.write_sentence('Sphinx of black quartz, judge my vow: ± † ≤ 0123456789', Path(sys.argv[1]))"
    )
    pictures = []
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.png"
        subprocess.run(
            [sys.executable, "-c", code, str(path)], check=True, env=os.environ | {"PYTHONHASHSEED": seed}
        )
        pictures.append(check_files(path))
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("regions", [[], [0], [0, 0]])
def test_nothing_to_show_is_a_sentence(tmp_path: Path, regions: list[int]) -> None:
    if regions:
        write_examples(tmp_path / "npz" / "first.npz", regions)
    write_tokens(tmp_path / "npz", "camvid", ROWS, tmp_path / "tokens.png")
    assert (tmp_path / "tokens.png").read_bytes().startswith(b"\x89PNG")


def test_rows_must_show_the_same_images(tmp_path: Path) -> None:
    write_examples(tmp_path / "first.npz", [1])
    write_examples(tmp_path / "second.npz", [1], name="field")
    with pytest.raises(UserError, match="different example images"):
        write_tokens(tmp_path, "camvid", ROWS, tmp_path / "tokens.png")


@pytest.mark.parametrize(
    "more", [{"image_0": np.zeros((30, 40, 3))}, {"regions_0": np.full((1, 2, 2), np.nan)}]
)
def test_malformed_examples_name_their_file(tmp_path: Path, more: dict[str, Any]) -> None:
    write_examples(tmp_path / "first.npz", [1], more=more)
    with pytest.raises(UserError, match=r"first\.npz"):
        write_tokens(tmp_path, "camvid", ROWS, tmp_path / "tokens.png")
    (tmp_path / "first.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match=r"first\.npz"):
        write_tokens(tmp_path, "camvid", ROWS, tmp_path / "tokens.png")


def test_vote_counts_weight_on_labelled_pixels() -> None:
    label = np.array([[0, 0, 1, 255]], dtype=np.uint8)
    weight = np.array([[0.2, 0.2, 0.6, 1.0]], dtype=np.float32)
    found = vote(label, weight, 3)
    assert found is not None
    assert (found.label, found.share) == (1, pytest.approx(0.6))
    assert vote(label, np.zeros((1, 4), np.float32), 3) is None
    assert vote(np.full((1, 4), 255, np.uint8), weight, 3) is None


def test_region_over_a_padded_image_is_cropped() -> None:
    region = np.array([[1.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    # Cells of 2 x 2 pixels over 4 x 4 of which the image is the upper 3 rows.
    assert on_image(region, (3, 4), (4, 4)).shape == (3, 4)
    assert np.array_equal(on_image(region, (3, 4), (4, 4)), on_image(region, (4, 4))[:3])


def test_heat_leaves_a_region_without_weight_grey() -> None:
    image = np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    picture = heat(image, np.zeros((4, 5), np.float32))
    assert (picture == picture[..., :1]).all()
    assert not (heat(image, np.ones((4, 5), np.float32)) == picture).all()


def test_colours_of_classes() -> None:
    assert tuple(palette.palette(describe("cityscapes").palette, 19)[0]) == (128, 64, 128)
    assert tuple(palette.palette(describe("camvid").palette, 11)[0]) == (128, 128, 128)
    many = palette.palette(describe("cocostuff10k").palette, 171)
    assert len({tuple(rgb) for rgb in many.tolist()}) == 171
    assert np.array_equal(many[:20], palette.palette((), 20))  # always the same order
    picture = palette.colour(np.array([[0, 255]], dtype=np.uint8), many)
    assert tuple(picture[0, 1]) == palette.IGNORED


def write_curve(path: Path, seeds: int, iterations: int, terms: tuple[str, ...] = ()) -> None:
    lines = [",".join(["seed", "iteration", "learning_rate", "loss", *terms])]
    lines += [
        ",".join(map(str, [seed, i, 0.1, 2 / (i + 1) + seed, *[0.5 for _ in terms]]))
        for seed in range(seeds)
        for i in range(iterations)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_smooth_is_a_centred_mean() -> None:
    assert smooth(np.array([0.0, 3.0, 6.0, 3.0]), 3).tolist() == [1.5, 3.0, 4.0, 4.5]
    assert smooth(np.array([5.0]), 1).tolist() == [5.0]


def test_curves_are_the_same_bytes_again(tmp_path: Path) -> None:
    write_curve(tmp_path / "curves" / "plain.csv", 1, 5, ("segmentation",))
    write_curve(tmp_path / "curves" / "first.csv", 2, 5, ("segmentation", "concept_dice"))
    write_curve(tmp_path / "curves" / "elsewhere.csv", 1, 5)
    pictures = []
    for name in ("one.png", "two.png"):
        write_curves(tmp_path / "curves", "camvid", ROWS, tmp_path / name)
        pictures.append(check_files(tmp_path / name))
    assert pictures[0] == pictures[1]


def test_a_panel_a_term_and_no_total_of_different_losses(tmp_path: Path) -> None:
    write_curve(tmp_path / "a.csv", 1, 5, ("segmentation",))
    write_curve(tmp_path / "b.csv", 2, 5, ("segmentation", "concept_focal", "concept_dice"))
    curves = [(FCN, read_curve(tmp_path / "a.csv")), (SGR, read_curve(tmp_path / "b.csv"))]
    with style.drawing():
        figure = draw_curves(curves, "Not shown: it.")
    check(figure)
    assert panels(figure) == ["segmentation", "concept focal", "concept dice"]
    assert {line.get_color() for line in figure.axes[0].lines} == {looks.COLOURS[0], looks.COLOURS[2]}
    assert {line.get_color() for line in figure.axes[1].lines} == {looks.COLOURS[2]}
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["Dil-FCN", "Dil-FCN + SGR (2 seeds)"]
    assert "Not shown: it." in figure.get_supxlabel()


def panels(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_many_terms_stand_in_two_lines(tmp_path: Path) -> None:
    terms = ("classification", "mask", "dice", "auxiliary_classification", "auxiliary_mask", "auxiliary_dice")
    write_curve(tmp_path / "a.csv", 1, 3, (*terms, "concept_focal", "concept_dice", "concept_cosine"))
    with style.drawing():
        figure = draw_curves([(MASKS, read_curve(tmp_path / "a.csv"))])
    check(figure)
    assert len(panels(figure)) == 9


def test_losses_of_other_heads_are_not_laid_over_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in MANY:
        write_curve(tmp_path / f"{row}.csv", 1, 2, ("segmentation",))
    drawn: list[Any] = []

    def remember(curves: Any, left_out: str) -> Figure:
        drawn[:] = [*(network for network, _ in curves), left_out]
        return Figure()

    monkeypatch.setattr("sgr.report.curves.draw_curves", remember)
    write_curves(tmp_path, "camvid", MANY, tmp_path / "curves.png")
    assert drawn[:-1] == [FCN, GLORE, SGR, MANY["graph"]]
    assert drawn[-1] == "Not shown: DeepLabV3 (SGR), MaskFormer (plain; SGR), UperNet."


@pytest.mark.parametrize("iterations", [0, 1])
def test_short_curves(tmp_path: Path, iterations: int) -> None:
    write_curve(tmp_path / "curves" / "plain.csv", 1, iterations)
    write_curves(tmp_path / "curves", "camvid", ROWS, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_diverged_iterations_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("seed,iteration,learning_rate,loss,dice\n0,0,0.1,2.0,\n0,1,0.1,nan,\n0,2,0.1,inf,\n")
    figure = draw_curves([(FCN, read_curve(path))])
    assert len(figure.axes) == 1
    assert np.array_equal(np.asarray(figure.axes[0].lines[0].get_ydata()), [2.0])


@pytest.mark.parametrize(
    "text", ["", "seed,iteration\n0,1\n", "seed,iteration,learning_rate,loss\n0,1,0.1,high\n"]
)
def test_malformed_curve_names_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "plain.csv").write_text(text)
    with pytest.raises(UserError, match=r"plain\.csv is not a training curve"):
        write_curves(tmp_path, "camvid", ROWS, tmp_path / "curves.png")
