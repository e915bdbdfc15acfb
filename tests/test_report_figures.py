"""Figures: their bytes depend on the numbers alone, and thin input still gives a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure, SubFigure

from sgr.datasets import describe
from sgr.errors import UserError
from sgr.report import palette
from sgr.report.curves import draw_curves, read_curve, smooth, write_curves
from sgr.report.labels import Network
from sgr.report.overlay import heat, on_image, vote
from sgr.report.tokens import draw_tokens, write_tokens

CLASSES = ("sky", "car", "tree")
FCN = Network("camvid", "fcn", "resnet101")
GLORE, SGR = replace(FCN, unit="glore"), replace(FCN, unit="sgr")
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
    """Every word of a figure: its own texts, its panels' titles and its legend."""
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [t.get_text() for t in figure.texts] + [axes.get_title() for axes in figure.axes] + legends


def test_token_figure_is_the_same_bytes_again(tmp_path: Path) -> None:
    for row in ("first", "second"):
        write_examples(tmp_path / "npz" / f"{row}.npz", [2, 3])
    pictures = []
    for name in ("one.png", "two.png"):
        write_tokens(tmp_path / "npz", "camvid", ROWS, tmp_path / name)
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    assert b"Software" not in pictures[0]


def test_token_figure_shows_classes_and_groups(tmp_path: Path) -> None:
    from sgr.report.examples import load

    write_examples(tmp_path / "a.npz", [2, 0])
    examples = load(tmp_path / "a.npz")
    figure = draw_tokens([(SGR, examples), (GLORE, examples)], CLASSES, palette.distinct(3))
    words = texts(figure)
    assert {"SGR", "GloRe", "sky", "car", "ignored", "street_0", "no active region"} <= set(words)
    assert "tree" not in words  # not in these images
    assert len(figure.axes) == 2 * 2 + 2 * 2  # image and label of two images, two regions of each row


def test_rows_of_two_heads_are_told_apart(tmp_path: Path) -> None:
    from sgr.report.examples import load

    write_examples(tmp_path / "a.npz", [1])
    examples = load(tmp_path / "a.npz")
    rows = [(SGR, examples), (replace(SGR, family="deeplabv3"), examples)]
    figure = draw_tokens(rows, CLASSES, palette.distinct(3))
    assert {"Dil-FCN + SGR", "DeepLabV3 + SGR"} <= set(texts(figure))


def test_of_many_rows_the_papers_are_shown_and_ablations_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcn = Network("cocostuff10k", "fcn", "resnet101")
    masks = replace(fcn, family="maskformer")
    points = Network("cocostuff10k", "mask2former", "swin_t")
    rows = {
        "glore": replace(fcn, unit="glore"),
        "sgr": replace(fcn, unit="sgr"),
        "graph": replace(fcn, unit="sgr", changes=("with graph",)),
        "deeplabv3": replace(fcn, family="deeplabv3", unit="sgr"),
        "maskformer": masks,
        "maskformer-sgr": replace(masks, unit="sgr"),
        "mask2former": points,
        "mask2former-sgr": replace(points, unit="sgr"),
        "segformer": Network("cocostuff10k", "segformer", "mit_b4", "sgr"),
        "upernet": Network("cocostuff10k", "upernet", "swin_t", "sgr"),
    }
    for row in rows:
        write_examples(tmp_path / f"{row}.npz", [0 if row == "maskformer-sgr" else 1])
    shown: list[Network] = []

    def remember(groups: Any, *_: Any) -> Figure:
        shown[:] = [network for network, _ in groups]
        return Figure()

    monkeypatch.setattr("sgr.report.tokens.draw_tokens", remember)
    write_tokens(tmp_path, "cocostuff10k", rows, tmp_path / "tokens.png")
    # Table 2's four, then two of Table 1, of which maskformer-sgr has nothing to show
    paper = ["sgr", "glore", "maskformer", "upernet", "mask2former-sgr", "mask2former"]
    assert shown == [rows[row] for row in paper]
    for row in (*paper, "deeplabv3"):
        (tmp_path / f"{row}.npz").unlink()
    write_tokens(tmp_path, "cocostuff10k", rows, tmp_path / "tokens.png")
    assert shown == [rows["segformer"], rows["graph"]]


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
    write_curve(tmp_path / "curves" / "plain.csv", 1, 5)
    write_curve(tmp_path / "curves" / "first.csv", 2, 5, ("concept_dice",))
    write_curve(tmp_path / "curves" / "elsewhere.csv", 1, 5)
    pictures = []
    for name in ("one.png", "two.png"):
        write_curves(tmp_path / "curves", "camvid", ROWS, tmp_path / name)
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]


def test_a_panel_a_term_and_a_legend_entry_a_row(tmp_path: Path) -> None:
    write_curve(tmp_path / "a.csv", 1, 5)
    write_curve(tmp_path / "b.csv", 2, 5, ("segmentation", "concept_dice"))
    figure = draw_curves([(FCN, read_curve(tmp_path / "a.csv")), (SGR, read_curve(tmp_path / "b.csv"))])
    (section,) = figure.subfigs
    assert panels(section) == ["total loss", "segmentation", "concept dice"]
    assert all(axes.lines for axes in figure.axes)
    assert legend(section) == ["Dil-FCN", "SGR (2 seeds)"]


def panels(section: SubFigure) -> list[str]:
    return [axes.get_title(loc="left") for axes in section.axes]


def legend(section: SubFigure) -> list[str]:
    return [text.get_text() for text in section.legends[0].get_texts()]


def test_a_section_a_head_with_its_own_terms(tmp_path: Path) -> None:
    segformer = Network("camvid", "segformer", "mit_b4")
    terms = {
        SGR: ("segmentation", "concept_focal", "concept_dice", "concept_cosine"),
        replace(FCN, family="maskformer"): ("classification", "mask", "dice", "auxiliary_mask"),
        segformer: ("segmentation",),
        replace(segformer, prototypes=True): ("segmentation", "contrast", "distance"),
    }
    curves = []
    for number, (network, named) in enumerate(terms.items()):
        write_curve(tmp_path / f"{number}.csv", 1, 3, named)
        curves.append((network, read_curve(tmp_path / f"{number}.csv")))
    figure = draw_curves(curves)
    assert [section.get_suptitle() for section in figure.subfigs] == ["Dil-FCN", "MaskFormer", "SegFormer"]
    assert [panels(section) for section in figure.subfigs] == [
        ["total loss", "segmentation", "concept focal", "concept dice", "concept cosine"],
        ["total loss", "classification", "mask", "dice", "auxiliary mask"],
        ["total loss", "segmentation", "contrast", "distance"],
    ]
    assert [legend(section) for section in figure.subfigs] == [
        ["SGR"],
        ["MaskFormer"],
        ["SegFormer", "ProtoSeg"],
    ]


def test_a_framework_on_two_backbones_has_two_sections(tmp_path: Path) -> None:
    write_curve(tmp_path / "a.csv", 1, 3)
    frame = read_curve(tmp_path / "a.csv")
    figure = draw_curves([(FCN, frame), (SGR, frame), (replace(FCN, backbone="swin_t"), frame)])
    assert [section.get_suptitle() for section in figure.subfigs] == [
        "Dil-FCN, ResNet-101",
        "Dil-FCN, Swin-T",
    ]


def test_a_unit_looks_the_same_under_every_framework_and_no_row_like_another(tmp_path: Path) -> None:
    upernet_row = Network("camvid", "upernet", "swin_t")
    graph, no_xy = (replace(SGR, changes=(words,)) for words in ("with graph", "w/o x-y embedding"))
    rows = [FCN, GLORE, SGR, graph, no_xy, upernet_row, replace(upernet_row, unit="sgr")]
    write_curve(tmp_path / "a.csv", 1, 3)
    figure = draw_curves([(row, read_curve(tmp_path / "a.csv")) for row in rows])
    fcn, upernet = (
        {
            text.get_text(): (line.get_color(), line.get_linestyle())
            for text, line in zip(found.get_texts(), found.get_lines(), strict=True)
        }
        for found in (section.legends[0] for section in figure.subfigs)
    )
    assert len(set(fcn.values())) == len(fcn) == 5
    assert (upernet["SGR"], upernet["UperNet"]) == (fcn["SGR"], fcn["Dil-FCN"])


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
