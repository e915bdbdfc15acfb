"""How a row of params.yaml, <dataset>-<head>[-<component>][-<ablation>], is called in tables and figures."""

from __future__ import annotations

from typing import NamedTuple

DATASETS = {
    "cocostuff10k": "COCO-Stuff-10K",
    "ade20k": "ADE20K",
    "cityscapes": "Cityscapes",
    "camvid": "CamVid",
    "coco": "MS-COCO",
}
HEADS = {
    "fcn": "Dil-FCN",
    "deeplabv3": "DeepLabV3",
    "upernet": "UperNet",
    "maskformer": "MaskFormer",
    "mask2former": "Mask2Former",
    "segformer": "SegFormer",
    "hrnet": "HRNet",
    "swin": "Swin",
}
COMPONENTS = {"glore": "GloRe", "sgr": "SGR", "protoseg": "ProtoSeg"}
# As the paper's Table 4 writes them; any other ablation shows its own name.
ABLATIONS = {
    "no-token-supervision": "w/o focal, dice and cosine",
    "no-cosine": "w/o cosine",
    "graph": "with graph",
    "no-xy": "w/o x-y embedding",
    "no-centroid": "w/o centroid embedding",
    "no-position": "w/o any position",
}


class Parts(NamedTuple):
    """A row's name taken apart; `component` and `ablation` may be empty."""

    dataset: str
    head: str
    component: str
    ablation: str


def parts(row: str) -> Parts:
    """Take a row's name apart: `camvid-fcn-sgr-no-xy` is camvid, fcn, sgr, no-xy."""
    dataset, _, rest = row.partition("-")
    head, _, rest = rest.partition("-")
    first, _, others = rest.partition("-")
    if first in COMPONENTS:
        return Parts(dataset, head, first, others)
    return Parts(dataset, head, "", rest)


def component(row: str) -> str:
    """What is added to the head, with its ablation: `SGR, w/o cosine`; empty for a plain row."""
    _, _, name, ablation = parts(row)
    return ", ".join(filter(None, [COMPONENTS.get(name, name), ABLATIONS.get(ablation, ablation)]))


def method(row: str) -> str:
    """The row in words: `Dil-FCN + SGR, w/o cosine`."""
    head = parts(row).head
    return " + ".join(filter(None, [HEADS.get(head, head), component(row)]))


def plain(row: str) -> str:
    """The row of the same dataset and head without a component; a plain row is its own."""
    return "-".join(filter(None, parts(row)[:2]))


def order(row: str) -> tuple[str, str, int, str]:
    """Sort key: a dataset's heads, for each the plain row, GloRe, SGR, then the ablations."""
    dataset, head, name, ablation = parts(row)
    return dataset, head, ["", *COMPONENTS].index(name), ablation
