"""The claims: the paper's own words, and the numbers that show them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sgr.report import published
from sgr.report.labels import DETECTOR
from sgr.report.tables import table1, table2, table3, table4

from .comparison import Comparison
from .counts import Cost, WholeInstances
from .evidence import Evidence
from .networks import Against, glore, maskformer, plain, with_sgr, without


@dataclass(frozen=True)
class Claim:
    """A claim.

    Attributes:
        key: its line in paper/claims.csv.
        section, words: where the paper says it, and a quotation.
        test: what shows it.
        evidence: the numbers; all of them are claimed.
    """

    key: str
    section: str
    words: str
    test: str
    evidence: tuple[Evidence, ...]


def claims() -> tuple[Claim, ...]:
    """All claims in the order of the paper's tables."""
    quoted = published.claims()
    return tuple(
        Claim(key, *quoted[key], test, evidence)
        for of_table in (_accuracy(), _tokens(), _ablations(), _transfer(), _supplement())
        for key, test, evidence in of_table
    )


# Key, test and evidence of each claim.
Tests = Iterator[tuple[str, str, tuple[Evidence, ...]]]


def _accuracy() -> Tests:
    def over_plain(family: str, label: str = "") -> Comparison:
        return Comparison(table1(), "miou_ms", with_sgr(family), plain, label=label)

    titles = {"fcn": "Dil-FCN", "deeplabv3": "DeepLabV3", "upernet": "UperNet"}
    for family, title in titles.items():
        yield f"gain_{family}", f"mIoU m.s. of {title} + SGR above {title}'s", (over_plain(family),)
    yield (
        "gain_mask_classification",
        "mIoU m.s. of MaskFormer + SGR and Mask2Former + SGR above theirs without SGR",
        (over_plain("maskformer", "MaskFormer"), over_plain("mask2former", "Mask2Former")),
    )
    yield (
        "gain_others",
        "mIoU m.s. of SegFormer + SGR, which the paper has not tried, above SegFormer's",
        (over_plain("segformer"),),
    )
    yield (
        "gain_over_glore",
        "mIoU m.s. of Dil-FCN + SGR above Dil-FCN + GloRe's",
        (Comparison(table1(), "miou_ms", with_sgr("fcn"), glore),),
    )


def _tokens() -> Tests:
    def both(against: Against, letter: str, section: int = 0) -> tuple[Comparison, ...]:
        of = with_sgr("fcn")
        return (
            Comparison(table2(), "semantics", of, against, lower=True, label=f"S_{letter}", section=section),
            Comparison(table2(), "diversity", of, against, label=f"D_{letter}", section=section),
        )

    yield "tokens_glore", "S_C of Dil-FCN + SGR below Dil-FCN + GloRe's, D_C above", both(glore, "C")
    yield "tokens_maskformer", "S_C of Dil-FCN + SGR below MaskFormer's, D_C above", both(maskformer, "C")
    yield "tokens_instances", "S_I of Dil-FCN + SGR below MaskFormer's, D_I above", both(maskformer, "I", 1)


def _ablations() -> Tests:
    of = with_sgr("fcn")

    def accuracy(against: Against) -> tuple[Comparison, ...]:
        return (Comparison(table4(), "miou_ms", of, against),)

    def tokens(against: Against) -> tuple[Comparison, ...]:
        return (
            Comparison(table4(), "s_c", of, against, lower=True, label="S_C"),
            Comparison(table4(), "d_c", of, against, label="D_C"),
        )

    higher, purer = "mIoU m.s. of Dil-FCN + SGR above", "S_C of Dil-FCN + SGR below, D_C above"
    unsupervised, no_cosine = without(beta=0), without(gamma=0)
    yield "supervision_tokens", f"{purer} those without focal, dice and cosine", tokens(unsupervised)
    yield "supervision_accuracy", f"{higher} that without focal, dice and cosine", accuracy(unsupervised)
    yield "cosine_tokens", f"{purer} those without cosine", tokens(no_cosine)
    yield "cosine_accuracy", f"{higher} that without cosine", accuracy(no_cosine)
    yield "transformer", f"{higher} that with graph convolutions", accuracy(without(reasoning="graph"))
    yield "positions", f"{purer} those without x-y embedding", tokens(without(xy_embedding=False))
    yield "centroid", f"{higher} that without centroid embedding", accuracy(without(centroid_embedding=False))


def _transfer() -> Tests:
    def ap(against: Against, over: str) -> tuple[Comparison, ...]:
        return tuple(
            Comparison(
                table3(), "ap", with_sgr(DETECTOR), against, label=f"{task} AP over {over}", section=section
            )
            for section, task in enumerate(("box", "mask"))
        )

    yield (
        "transfer",
        "box and mask AP from SGR's network above those from ImageNet's weights and from GloRe's network",
        (*ap(plain, "ImageNet"), *ap(glore, "GloRe")),
    )
    yield (
        "transfer_supervision",
        "box and mask AP from SGR's network above those from SGR's without token supervision",
        ap(without(beta=0), "no supervision"),
    )


def _supplement() -> Tests:
    yield (
        "components",
        "of the instances that a component is left of, most lie in one component, not in several",
        (WholeInstances(),),
    )
    yield (
        "overhead",
        "FLOPs and parameters with SGR as a ratio to those with GloRe, mean over n networks",
        (Cost("flops", "FLOPs, ratio"), Cost("parameters", "parameters, ratio")),
    )
