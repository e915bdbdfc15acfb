"""Labels of rows: made from their fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sgr.models.families import FAMILIES
from sgr.models.recipes import RECIPES
from sgr.plan.params import Params, load
from sgr.plan.sections import Row, Transfer
from sgr.report import published
from sgr.report.labels import Network, backbone_title, network, networks

PARAMS = load(Path(__file__).parents[1] / "params.yaml")


def of(**fields: Any) -> Network:
    return network(
        Row.model_validate({"dataset": "ade20k", "family": "fcn", "backbone": "resnet101", **fields})
    )


@pytest.mark.parametrize(
    ("fields", "method"),
    [
        ({}, "Dil-FCN"),
        ({"family": "deeplabv3", "unit": "glore"}, "DeepLabV3 + GloRe"),
        ({"unit": "sgr"}, "Dil-FCN + SGR"),
        ({"family": "segformer", "backbone": "mit_b4", "prototypes": True}, "SegFormer + ProtoSeg"),
        ({"family": "hrnet", "backbone": "hrnetv2_w48", "prototypes": True}, "HRNet + ProtoSeg"),
        ({"family": "upernet", "backbone": "swin_b", "prototypes": True}, "Swin + ProtoSeg"),
        ({"family": "upernet", "backbone": "resnet101", "prototypes": True}, "UperNet + ProtoSeg"),
        ({"family": "upernet", "backbone": "swin_b"}, "UperNet"),
        ({"unit": "sgr", "sgr": {"beta": 0.0}}, "Dil-FCN + SGR, w/o focal, dice and cosine"),
        ({"unit": "sgr", "sgr": {"gamma": 0.0}}, "Dil-FCN + SGR, w/o cosine"),
        ({"unit": "sgr", "sgr": {"reasoning": "graph"}}, "Dil-FCN + SGR, with graph"),
        ({"unit": "sgr", "sgr": {"xy_embedding": False}}, "Dil-FCN + SGR, w/o x-y embedding"),
        ({"unit": "sgr", "sgr": {"centroid_embedding": False}}, "Dil-FCN + SGR, w/o centroid embedding"),
        (
            {"unit": "sgr", "sgr": {"xy_embedding": False, "centroid_embedding": False}},
            "Dil-FCN + SGR, w/o any position",
        ),
        ({"unit": "sgr", "sgr": {"K": 48, "gamma": 0}}, "Dil-FCN + SGR, w/o cosine, K = 48"),
        (
            {"unit": "sgr", "sgr": {"token_normalization": "none", "rho": 0.5}},
            "Dil-FCN + SGR, token normalization = none, rho = 0.5",
        ),
        ({"unit": "glore", "glore": {"K": 48}, "sgr": {"K": 7}}, "Dil-FCN + GloRe, K = 48"),
        ({"sgr": {"beta": 0.0}}, "Dil-FCN"),  # no unit that it could change
        ({"training": {"crop": [96, 128], "compile": True}}, "Dil-FCN, crop = 96 × 128, compile = true"),
    ],
)
def test_the_method_in_words(fields: dict[str, Any], method: str) -> None:
    assert of(**fields).method == method


def test_the_addition_leaves_out_the_framework() -> None:
    assert of(unit="sgr", sgr={"gamma": 0}).addition == "SGR, w/o cosine"
    assert of().addition == ""


def test_seeds_are_no_part_of_a_network() -> None:
    assert of(seeds=[1, 2]) == of()


def test_the_plain_row_has_the_same_backbone_and_training() -> None:
    ablated = of(unit="sgr", sgr={"gamma": 0}, training={"iterations": 9})
    assert ablated.plain == of(training={"iterations": 9})
    assert ablated.whole == of(unit="sgr", training={"iterations": 9})
    assert of(family="upernet", backbone="swin_b", prototypes=True).plain == of(
        family="upernet", backbone="swin_b"
    )
    assert of().plain == of()


def test_every_family_and_backbone_has_a_title() -> None:
    assert of(family="mask2former").method == FAMILIES["mask2former"].title
    assert [backbone_title(name) for name in ("resnet101", "hrnetv2_w48")] == ["ResNet-101", "HRNetV2-W48"]
    assert backbone_title("tiny") == "tiny"  # of an older result
    assert len({backbone_title(name) for name in RECIPES}) == len(RECIPES)


def transfer(start: str) -> str:
    params: Params = PARAMS.model_copy(update={"transfer": {"mine": Transfer(start=start)}})
    return dict(networks(params))["mine"].method


def test_rows_of_table3_are_named_by_what_they_start_from() -> None:
    assert transfer("weights/resnet101") == "Mask R-CNN C4"
    assert transfer("train/cocostuff10k-fcn-glore") == "Mask R-CNN C4 + GloRe"
    assert (
        transfer("train/cocostuff10k-fcn-sgr-no-token-supervision")
        == "Mask R-CNN C4 + SGR, w/o focal, dice and cosine"
    )
    # other starts than the paper's say so
    assert transfer("train/cocostuff10k-fcn") == "Mask R-CNN C4, from Dil-FCN on COCO-Stuff-10K"
    assert transfer("train/ade20k-deeplabv3-sgr") == "Mask R-CNN C4 + SGR, from DeepLabV3 on ADE20K"


def test_the_order_of_rows_is_the_papers() -> None:
    for table in ("table1", "table3", "table4"):
        lines = [line.network for line in published.load(table) if line.cells.get("task") != "mask"]
        for dataset in {line.dataset for line in lines}:
            part = [line for line in lines if line.dataset == dataset]
            assert part == sorted(part, key=lambda line: line.order)


def test_our_rows_follow_the_row_that_they_vary() -> None:
    expected = [
        of(),
        of(unit="glore"),
        of(unit="sgr"),
        of(unit="sgr", sgr={"gamma": 0}),
        of(unit="sgr", sgr={"xy_embedding": False}),
        of(unit="sgr", sgr={"K": 48}),
        of(unit="sgr", sgr={"K": 128}),
        of(training={"iterations": 9}),
        of(unit="sgr", training={"iterations": 9}),
        of(family="hrnet", backbone="hrnetv2_w48", prototypes=True),
        of(family="upernet", backbone="swin_b", prototypes=True),
    ]
    backwards = expected[::-1]
    assert sorted(backwards, key=lambda line: line.order) == expected
