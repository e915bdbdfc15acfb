"""How a row of params.yaml, <dataset>-<head>[-<unit>][-<ablation>], is called in tables and figures.

A row of `transfer`, <dataset>-<start>, has one head, which its name leaves out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

DATASETS = {
    "cocostuff10k": "COCO-Stuff-10K",
    "ade20k": "ADE20K",
    "cityscapes": "Cityscapes",
    "camvid": "CamVid",
    "coco": "MS-COCO",
}
# In the order of tables and figures, which keeps that of the paper's Table 1.
HEADS = {
    "fcn": "Dil-FCN",
    "deeplabv3": "DeepLabV3",
    "maskformer": "MaskFormer",
    "upernet": "UperNet",
    "mask2former": "Mask2Former",
    "segformer": "SegFormer",
    "hrnet": "HRNet",
    "swin": "Swin",
    "c4": "Mask R-CNN C4",
}
TRANSFER = "coco"
UNITS = {"glore": "GloRe", "sgr": "SGR", "protoseg": "ProtoSeg"}
BACKBONES = {
    "resnet101": "ResNet-101",
    "swin_t": "Swin-T",
    "swin_b": "Swin-B",
    "mit_b4": "MiT-B4",
    "hrnetv2_w48": "HRNetV2-W48",
    "efficientnet_lite0": "EfficientNet-Lite0",
    "tiny_resnet": "tiny ResNet",
    "tiny_swin": "tiny Swin",
    "tiny_mit": "tiny MiT",
    "tiny_hrnet": "tiny HRNet",
}
# As the paper's Table 4 writes and orders them; any other ablation shows its own name.
ABLATIONS = {
    "imagenet": "",  # the plain row of Table 3
    "no-token-supervision": "w/o focal, dice and cosine",
    "no-cosine": "w/o cosine",
    "graph": "with graph",
    "no-xy": "w/o x-y embedding",
    "no-centroid": "w/o centroid embedding",
    "no-position": "w/o any position",
}


class Parts(NamedTuple):
    """A row's name taken apart; `unit` and `ablation` may be empty."""

    dataset: str
    head: str
    unit: str
    ablation: str


def parts(row: str) -> Parts:
    """Take a row's name apart: `camvid-fcn-sgr-no-xy` is camvid, fcn, sgr, no-xy; `coco-sgr` is coco, c4, sgr."""
    dataset, _, rest = row.partition("-")
    head, _, rest = ("c4", "-", rest) if dataset == TRANSFER else rest.partition("-")
    first, _, others = rest.partition("-")
    if first in UNITS:
        return Parts(dataset, head, first, others)
    return Parts(dataset, head, "", rest)


def unit(row: str) -> str:
    """What is added to the head, with its ablation: `SGR, w/o cosine`; empty for a plain row."""
    _, _, name, ablation = parts(row)
    return ", ".join(filter(None, [UNITS.get(name, name), ABLATIONS.get(ablation, ablation)]))


def method(row: str) -> str:
    """The row in words: `Dil-FCN + SGR, w/o cosine`."""
    head = parts(row).head
    return " + ".join(filter(None, [HEADS.get(head, head), unit(row)]))


def plain(row: str) -> str:
    """The row of the same dataset and head without a unit; a plain row is its own."""
    return "-".join(filter(None, parts(row)[:2]))


def backbone(name: str) -> str:
    """A backbone of params.yaml in words: `ResNet-101`."""
    return BACKBONES.get(name, name)


def order(row: str) -> tuple[Any, ...]:
    """Sort key: a dataset's heads as in HEADS; for each the plain row, GloRe, SGR, ProtoSeg, then the ablations."""
    dataset, head, name, ablation = parts(row)
    added = ["", *UNITS].index(name)
    return dataset, *_place(head, [*HEADS]), added, *_place(ablation, ["", *ABLATIONS])


def _place(name: str, known: list[str]) -> tuple[int, str]:
    """Known names in their order, then the others by alphabet."""
    return [*known, name].index(name), name
