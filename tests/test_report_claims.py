"""The paper's claims: statistics by hand, and verdicts from result files whose numbers can be checked by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from sgr.errors import UserError
from sgr.plan.params import load
from sgr.report import published
from sgr.report.claims.claims import claims
from sgr.report.claims.evidence import GENERATED, Figure
from sgr.report.claims.statistics import Estimate, holm, paired, share
from sgr.report.claims.verdicts import Verdict, verdicts
from sgr.report.claims.writing import write_claims
from sgr.report.labels import networks
from sgr.report.settings import ClaimsSettings
from sgr.report.tables import splits_of
from tests.made_of import SOUND, SPLITS, real, tiny
from tests.scratch import ROOT

PARAMS = load(ROOT / "params.yaml")
ROWS = dict(networks(PARAMS))
FEW = 1e-9  # a p-value that stays small after any correction
PLAIN, SGR, GLORE = ([40.0, 41.0, 42.0], [41.0, 43.0, 45.0], [40.0, 40.0, 40.0])


# Statistics


def test_the_paired_t_test_is_that_of_a_textbook() -> None:
    # differences 1, 2, 3: mean 2, deviation 1, so t = 2 √3 with two degrees of freedom
    found = paired({"0": 11.0, "1": 22.0, "2": 33.0, "9": 0.0}, {"0": 10.0, "1": 20.0, "2": 30.0})
    t = 2 * sqrt(3)
    assert found is not None and (found.value, found.n) == (pytest.approx(2), 3)
    assert found.p == pytest.approx(
        1 - t / sqrt(2 + t**2)
    )  # Student's distribution in closed form for two degrees
    assert (found.low, found.high) == pytest.approx((2 - 4.302653 / sqrt(3), 2 + 4.302653 / sqrt(3)))


def test_one_pair_and_seeds_that_do_not_differ_have_no_interval() -> None:
    assert paired({"0": 2.0}, {"0": 1.5}) == Estimate(0.5, 1)
    # in floating point 0.3 - 0.1 and 0.5 - 0.3 differ in the last digit
    same = paired({"0": 0.3, "1": 0.5, "2": 0.7}, {"0": 0.1, "1": 0.3, "2": 0.5})
    assert same is not None and (same.n, same.low, same.p) == (3, None, None)
    assert paired({"0": 1.0, "1": 1.0, "2": 1.0}, {"0": 1.0, "1": 1.0, "2": 1.0}) == Estimate(0.0, 3)
    assert paired({"0": 1.0}, {"1": 1.0}) is None


def test_holms_correction_is_that_of_a_textbook() -> None:
    # 3 · 0.01, 2 · 0.03, and 1 · 0.04, which may not be below the one before
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_share_is_tested_by_the_exact_binomial() -> None:
    found = share(8, 10)
    assert found is not None and (found.value, found.n) == (0.8, 10)
    assert found.p == pytest.approx(2 * (45 + 10 + 1) / 1024)
    assert share(10, 10) == Estimate(1.0, 10, pytest.approx(0.025 ** (1 / 10)), 1.0, pytest.approx(2 / 1024))
    assert share(0, 0) is None


# Verdicts


def figure(
    p: float | None, right: bool = True, uncounted: str = "", label: str = "CamVid", n: int = 5
) -> Figure:
    interval = (None, None) if p is None else (-1.0, 3.0)
    return Figure(label, Estimate(1.0 if right else -1.0, n, *interval, p), right, uncounted)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ([], Verdict("not tested", "no such rows")),
        ([figure(FEW)], Verdict("holds", "", FEW)),
        ([figure(0.2)], Verdict("does not hold", "interval includes 0", 0.2)),
        ([figure(FEW, right=False)], Verdict("does not hold", "the other way", 1.0)),
        ([figure(FEW, uncounted=GENERATED)], Verdict("not tested", "generated images")),
        (
            [figure(FEW, label="a"), figure(0.2, label="b")],
            Verdict("does not hold", "interval includes 0 (b)", 0.2),
        ),
        (
            [figure(FEW, label="a"), figure(FEW, False, label="b"), figure(0.3, False, label="c")],
            Verdict("does not hold", "the other way (b); interval includes 0 (c)", 1.0),
        ),
        (
            [figure(FEW, label="a"), figure(0.01, uncounted="n = 2", label="b")],
            Verdict("holds", "not counted: n = 2 (b)", FEW),
        ),
        (
            [figure(0.01, uncounted="n = 2", label="a"), figure(None, uncounted="n = 1", label="b")],
            Verdict("not tested", "n = 2 (a); n = 1 (b)"),
        ),
    ],
)
def test_a_verdict_follows_from_the_figures(figures: Sequence[Figure], expected: Verdict) -> None:
    assert verdicts([figures]) == [expected]


def test_a_claim_of_many_needs_more() -> None:
    alone, other = [figure(0.03)], [figure(0.04)]
    assert [found.word for found in verdicts([alone])] == ["holds"]
    assert verdicts([alone, other, []]) == [
        Verdict("does not hold", "p = 0.06 after Holm's correction", 0.06),
        Verdict("does not hold", "p = 0.06 after Holm's correction", 0.06),
        Verdict("not tested", "no such rows"),
    ]


# From result files


def camvid(**images: int) -> dict[str, Any]:
    """Of the whole of CamVid, less what is told."""
    return tiny("camvid", images={"train": 367, "val": 101, "test": 233, **images}, source="folder")


def result(
    results: Path,
    row: str,
    values: Sequence[float],
    metric: str = "miou_ms",
    suffix: str = "",
    about: Mapping[str, Any] | None = None,
    **more: Any,
) -> Path:
    """The result of a row on the split that claims are judged on, a seed a value; of all real images unless told."""
    dataset = "coco" if suffix == ".instances" else ROWS[row].dataset
    of = about or (camvid() if dataset == "camvid" else real(dataset))
    split = "val" if suffix and dataset == "camvid" else SPLITS.get(dataset, ("val",))[-1]
    seeds = {str(seed): {split: {metric: value, **SOUND, **more}} for seed, value in enumerate(values)}
    path = results / "small" / ROWS[row].dataset / f"{row}{suffix}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"row": row, "dataset": dataset, "about": of, "seeds": seeds}))
    return path


def judged(results: Path, generated: bool = False, parts: tuple[str, ...] = ()) -> dict[str, Any]:
    """The written claims by key, from JSON."""
    settings = ClaimsSettings(ROWS, splits_of(PARAMS), parts)
    write_claims("small", settings, generated, results)
    content = json.loads((results / "small" / "claims.json").read_text())
    assert sum(content["count"].values()) == len(content["claims"])
    return {claim["key"]: claim for claim in content["claims"]}


def test_a_gain_is_paired_by_seed_on_the_split_that_nothing_was_chosen_on(tmp_path: Path) -> None:
    result(tmp_path, "camvid-fcn", PLAIN)
    result(tmp_path, "camvid-fcn-sgr", SGR)
    found = judged(tmp_path)
    claim, numbers = found["gain_fcn"], found["gain_fcn"]["figures"]
    assert [(number["label"], number["value"], number["n"]) for number in numbers] == [
        ("CamVid test", 2.0, 3)
    ]
    assert (claim["verdict"], claim["reason"]) == ("does not hold", "interval includes 0")
    assert claim["p"] == numbers[0]["p"] == pytest.approx(0.0742, abs=5e-5)
    assert numbers[0]["text"] == "CamVid test: +2.00 [-0.48, +4.48], p = 0.074, n = 3"
    assert {one["reason"] for key, one in found.items() if key != "gain_fcn"} == {"no such rows"}


def test_a_gain_that_seeds_agree_on_holds(tmp_path: Path) -> None:
    result(tmp_path, "camvid-fcn", PLAIN)
    result(tmp_path, "camvid-fcn-sgr", [value + 2 + 0.01 * seed for seed, value in enumerate(PLAIN)])
    assert judged(tmp_path)["gain_fcn"]["verdict"] == "holds"
    result(tmp_path, "camvid-fcn-sgr", [value - 2 - 0.01 * seed for seed, value in enumerate(PLAIN)])
    claim = judged(tmp_path)["gain_fcn"]
    assert (claim["verdict"], claim["reason"]) == ("does not hold", "the other way")


@pytest.mark.parametrize(
    ("ours", "base", "reason"),
    [
        ({"values": SGR[:2]}, {}, "n = 2"),
        ({"values": SGR[:1]}, {}, "n = 1"),
        ({"values": PLAIN}, {}, "the seeds do not differ"),
        ({"collapsed_ms": True}, {}, "predicts one class for everything"),
        ({}, {"collapsed_ms": True}, "predicts one class for everything"),
        ({"majority_miou": 50.0}, {}, "no better than the most frequent class everywhere"),
        ({"about": tiny("camvid")}, {}, "generated images"),
        (
            {"about": camvid(test=20)},
            {},
            "measured on a part of the dataset: 20 of 233 images of test",
        ),
    ],
)
def test_what_proves_nothing_is_not_tested(
    tmp_path: Path, ours: dict[str, Any], base: dict[str, Any], reason: str
) -> None:
    result(tmp_path, "camvid-fcn", **{"values": PLAIN, **base})
    result(tmp_path, "camvid-fcn-sgr", **{"values": SGR, **ours})
    claim = judged(tmp_path)["gain_fcn"]
    assert (claim["verdict"], claim["reason"], claim["p"]) == ("not tested", reason, None)
    # the number still stands, unless a network has failed
    assert (claim["figures"][0]["value"] is None) == ("collapsed_ms" in {**ours, **base})


def test_tokens_need_both_purity_and_diversity(tmp_path: Path) -> None:
    def tokens(row: str, S: float, D: float) -> None:
        result(tmp_path, row, [40.0])
        seeds = [0.0, 0.001, 0.003] if "glore" in row else [0.0, 0.002, 0.001]
        path = result(tmp_path, row, [S + more for more in seeds], "semantics_class", ".semantics")
        content = json.loads(path.read_text())
        for more, of_seed in zip(seeds, content["seeds"].values(), strict=True):
            of_seed["val"]["diversity_class"] = D + more
        path.write_text(json.dumps(content))

    tokens("camvid-fcn-glore", 0.75, 0.02)
    tokens("camvid-fcn-sgr", 0.31, 0.40)
    claim = judged(tmp_path)["tokens_glore"]
    assert [number["label"] for number in claim["figures"]] == ["CamVid val, S_C", "CamVid val, D_C"]
    assert claim["verdict"] == "holds"
    tokens("camvid-fcn-sgr", 0.31, 0.01)
    claim = judged(tmp_path)["tokens_glore"]
    assert (claim["verdict"], claim["reason"]) == ("does not hold", "the other way (CamVid val, D_C)")


def test_the_papers_own_difference_stands_beside_real_images_alone(tmp_path: Path) -> None:
    for row, values in (("ade20k-fcn", PLAIN), ("ade20k-fcn-sgr", SGR), ("ade20k-fcn-glore", GLORE)):
        result(tmp_path, row, values)
    text = [number["text"] for number in judged(tmp_path)["gain_fcn"]["figures"]]
    assert text == ["ADE20K: +2.00 [-0.48, +4.48], p = 0.074, n = 3; paper +1.60"]
    number = judged(tmp_path)["gain_over_glore"]["figures"][0]
    assert (number["row"], number["base"], number["paper"]) == ("ade20k-fcn-sgr", "ade20k-fcn-glore", 0.8)
    for row in ("ade20k-fcn", "ade20k-fcn-sgr"):
        result(tmp_path, row, SGR[:1] if "sgr" in row else PLAIN[:1], about=tiny("ade20k"))
    assert judged(tmp_path)["gain_fcn"]["figures"][0]["text"] == "ADE20K: +1.00, n = 1"


def test_components_are_judged_by_the_instances_they_split(tmp_path: Path) -> None:
    header = "class,instances,alone,shared,split,none_left"
    folder = tmp_path / "small"
    folder.mkdir()
    path = folder / "component_statistics_cityscapes.csv"
    # of 100 instances 60 + 28 lie in one component and 2 in several
    path.write_text(f"{header}\nperson,1,1,0,0,0\nall things,100,0.6,0.28,0.02,0.1\n")
    claim = judged(tmp_path)["components"]
    number = claim["figures"][0]
    assert (number["label"], number["value"], number["n"]) == ("Cityscapes, instances", 88 / 90, 90)
    assert claim["verdict"] == "holds"
    assert judged(tmp_path, generated=True)["components"]["reason"] == "generated images"
    assert judged(tmp_path, parts=("cityscapes",))["components"]["reason"] == "a part of the dataset"
    path.write_text(f"{header}\nall things,0,,,,\n")
    assert judged(tmp_path)["components"]["reason"] == "no instance"
    path.write_text("class\nall things\n")
    with pytest.raises(UserError, match=r"cityscapes\.csv lacks alone, instances, shared, split: run"):
        judged(tmp_path)


def test_the_cost_is_shown_and_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "overhead").mkdir()
    lines = [
        "fcn,r,,100,10",
        "fcn,r,glore,110,20",
        "fcn,r,sgr,121,30",
        "upernet,s,glore,10,1",
        "upernet,s,sgr,13,2",
    ]
    (tmp_path / "overhead" / "small.csv").write_text(
        "\n".join(["family,backbone,unit,flops,parameters", *lines, ""])
    )
    claim = judged(tmp_path)["overhead"]
    assert [number["text"] for number in claim["figures"]] == [
        "FLOPs, ratio: 1.200, n = 2",
        "parameters, ratio: 1.750, n = 2",
    ]
    assert (claim["verdict"], claim["reason"]) == ("not tested", "the paper's text names no number")


# The list, and its files


def test_every_claim_has_words_of_the_paper_and_rows_that_show_it(tmp_path: Path) -> None:
    found = claims()
    assert {claim.key for claim in found} == published.claims().keys() and len(found) == len(
        published.claims()
    )
    assert len(found) <= 20 and all(1 < len(claim.words.split()) <= 25 for claim in found)
    metrics = (
        "semantics_class",
        "diversity_class",
        "semantics_instance",
        "diversity_instance",
        "box_ap",
        "mask_ap",
    )
    more = dict.fromkeys(metrics, 1.0) | {"box_finds_nothing": False, "mask_finds_nothing": False}
    for row, network in ROWS.items():
        of = tiny(network.dataset)
        result(tmp_path, row, [1.0], about=of, **more)
        result(tmp_path, row, [1.0], suffix=".semantics", about=of, **more)
        result(tmp_path, row, [1.0], suffix=".instances", about=tiny("coco", network.dataset), **more)
    without_rows = {key for key, claim in judged(tmp_path).items() if claim["reason"] == "no such rows"}
    assert without_rows == {"components", "overhead"}


def test_the_files_say_the_same(tmp_path: Path) -> None:
    result(tmp_path, "camvid-fcn", PLAIN)
    result(tmp_path, "camvid-fcn-sgr", SGR)
    found = judged(tmp_path)
    folder = tmp_path / "small"
    with open(folder / "claims.csv", newline="", encoding="utf-8") as file:
        lines = {line["claim"]: line for line in csv.DictReader(file)}
    assert {key: line["verdict"] for key, line in lines.items()} == {
        key: claim["verdict"] for key, claim in found.items()
    }
    assert float(lines["gain_fcn"]["p"]) == found["gain_fcn"]["p"] and lines["gain_fcn"]["n"] == "3"
    markdown = (folder / "claims.md").read_text()
    assert markdown.startswith(
        "The whole of CamVid (367 images of train, 101 images of val, 233 images of test)"
    )
    assert "Of 20 claims 0 hold, 1 do not, 19 are not tested." in markdown
    assert "CamVid test: +2.00 [-0.48, +4.48], p = 0.074, n = 3 |" in markdown.replace("\u00a0", " ")
    assert "n\u00a0=\u00a03" in markdown and "[-0.48,\u00a0+4.48]" in markdown
    assert sum(line.startswith("| “") for line in markdown.splitlines()) == 20
    before = {path.name: path.read_bytes() for path in folder.glob("claims.*")}
    judged(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.glob("claims.*")} == before and len(before) == 3


def test_a_missing_folder_and_a_broken_result_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        judged(tmp_path)
    result(tmp_path, "camvid-fcn", PLAIN)
    path = result(tmp_path, "camvid-fcn-sgr", SGR)
    path.write_text(path.read_text().replace("43.0", '"much"'))
    with pytest.raises(
        UserError, match=r"camvid-fcn-sgr\.json: seed 1, split test: miou_ms must be a finite number"
    ):
        judged(tmp_path)
