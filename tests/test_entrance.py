"""The entrance to the results: verdicts first, then what was run and where it lies, of each profile that has tables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sgr.cli import graph
from sgr.plan.entries import entries
from sgr.plan.params import load
from sgr.report import runs
from sgr.report.entrance import write_entrance
from tests.scratch import copy_checkout

ROOT = Path(__file__).parents[1]
NOTICE = (
    "Generated images, not the real dataset: CamVid (8 images in the place of 101 of val); crops of 96 × 96."
)


def job(**more: Any) -> dict[str, Any]:
    return {
        "commit": "7b52d7c2d4e09c51442e4b281241ed7e4fa0e628",
        "cpu": "AMD EPYC",
        "device": "cpu",
        "dirty": False,
        "started": "2026-11-24T20:00:46+00:00",
        "finished": "2026-11-24T20:30:58+00:00",
        "versions": {"torch": "2.14.1"},
        "wall_seconds": 1800.0,
        **more,
    }


def claims(*verdicts: tuple[str, str]) -> dict[str, Any]:
    words = [
        {"words": f"claim {n}", "section": "5.3", "verdict": verdict, "reason": reason}
        for n, (verdict, reason) in enumerate(verdicts)
    ]
    kinds = ("holds", "does not hold", "not tested")
    count = {kind: sum(verdict == kind for verdict, _ in verdicts) for kind in kinds}
    return {"claims": words, "count": count}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Profile mini with two tables, a figure, claims and provenance; small with a table alone; paper without any."""
    files = {
        "mini/table_camvid.md": f"{NOTICE}\n\n# CamVid\n\ntext\n",
        "mini/table_camvid.csv": "row\n",
        "mini/table_camvid.tex": "%\n",
        "mini/sweep.md": f"{NOTICE}\n\n# Sensitivity to K and L\n",
        "mini/figures/tokens_camvid.png": "",
        "overhead/mini.md": "Random images of 96 × 96 pixels, not a dataset; tiny.\n\n# Computational overhead\n",
        "mini/claims.md": "x\n\n# The paper's claims\n",
        "mini/claims.json": json.dumps(claims(("holds", ""), ("not tested", "n = 1"))),
        "provenance/mini/a.train.json": json.dumps(
            {"0": job(), "1": job(started="2026-11-24T19:59:00+00:00")}
        ),
        "provenance/mini/sweep.json": json.dumps({"K8-L4": {"train": {"0": job(dirty=True)}}}),
        "small/table_camvid.md": "A part of CamVid (5 of 101 images of val); crops.\n\n# CamVid\n",
        "paper/summary/table1.json": "{}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def written(results: Path) -> list[str]:
    write_entrance(("paper", "small", "mini"), results)
    return (results / "README.md").read_text().splitlines()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_verdicts_come_first_then_the_run_the_tables_and_the_figures(results: Path) -> None:
    lines = written(results)
    mini = [line for line in lines[lines.index("## Profile mini") + 1 :] if line]
    assert mini[0] == "Of [2 claims of the paper](mini/claims.md) 1 hold, 0 do not, 1 are not tested."
    assert [cells(line) for line in mini[1:5] if "---" not in line] == [
        ["the paper says", "section", "verdict"],
        ["claim 0", "5.3", "**holds**"],
        ["claim 1", "5.3", "**not tested**: n = 1"],
    ]
    assert mini[5] == (
        "3 jobs, 1.5 hours of work on 2026-11-24 19:59 to 20:30 UTC on 2 commits (7b52d7c, 7b52d7c with changes); "
        "CPU AMD EPYC; torch 2.14.1 ([provenance](provenance/mini))."
    )
    images = "Generated images, not the real dataset: CamVid"
    assert [cells(line) for line in mini[8:11]] == [
        [
            "[CamVid](mini/table_camvid.md) · [CSV](mini/table_camvid.csv) · [LaTeX](mini/table_camvid.tex)",
            images,
        ],
        ["[Sensitivity to K and L](mini/sweep.md)", images],
        ["[Computational overhead](overhead/mini.md)", "Random images of 96 × 96 pixels, not a dataset"],
    ]
    assert mini[11:] == ["Figures: [tokens camvid](mini/figures/tokens_camvid.png)."]


def test_a_profile_without_a_table_is_not_there_and_one_without_claims_says_none(results: Path) -> None:
    lines = written(results)
    assert [line for line in lines if line.startswith("## ")] == ["## Profile small", "## Profile mini"]
    small = [line for line in lines[lines.index("## Profile small") : lines.index("## Profile mini")] if line]
    assert len(small) == 4 and cells(small[3]) == ["[CamVid](small/table_camvid.md)", "A part of CamVid"]


def test_claims_of_which_none_is_tested_are_one_sentence(results: Path) -> None:
    (results / "mini/claims.json").write_text(json.dumps(claims(("not tested", "generated images"))))
    text = "\n".join(written(results))
    assert "0 hold, 0 do not, 1 are not tested." in text and "the paper says" not in text


def test_the_page_is_named_where_it_is(results: Path) -> None:
    assert "index.html" not in "\n".join(written(results))
    (results / "mini/index.html").write_text("")
    assert "[The page](mini/index.html)" in "\n".join(written(results))


def test_the_same_files_are_the_same_bytes(results: Path) -> None:
    once = written(results)
    assert written(results) == once  # its own file is none of them


def test_the_entrance_of_the_repository_has_links_that_exist(tmp_path: Path) -> None:
    for path in (ROOT / "results").iterdir():
        if path.is_dir():
            (tmp_path / path.name).symlink_to(path)
    write_entrance(tuple(load(ROOT / "params.yaml").profiles), tmp_path)
    links = re.findall(r"\]\(([^)]+)\)", (tmp_path / "README.md").read_text())
    assert len(links) > 10 and [link for link in links if not (tmp_path / link).exists()] == []


def test_it_is_made_after_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy_checkout(tmp_path / "copy"))
    everything = graph.asked([])
    assert graph.asked(["entrance"]).needed == everything.needed > 100
    assert "entrance@mini" in everything.addresses


def test_profiles_of_real_images_come_first() -> None:
    found = entries(load(ROOT / "params.yaml"), ROOT)["entrance/all"]
    assert found.settings.profiles == ("paper", "small", "mini")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"device": "NVIDIA H100 80GB HBM3"}, "; NVIDIA H100 80GB HBM3; "),
        ({"cpu": None}, "; CPU; "),
        ({"device": "CPU, AMD EPYC", "cpu": None}, "; CPU AMD EPYC; "),
        ({"commit": None}, "on 1 commit (unknown); "),
        ({"finished": "2026-11-25T01:00:00+00:00"}, "from 2026-11-24 20:00 to 2026-11-25 01:00 UTC"),
        ({"wall_seconds": 90}, "1 job, 2 minutes of work"),
    ],
)
def test_a_run_says_where_and_when(tmp_path: Path, more: dict[str, Any], expected: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"0": job(**more)}))
    assert expected in runs.of_profile(tmp_path)


def test_a_profile_without_provenance_says_nothing_of_its_run(tmp_path: Path) -> None:
    assert runs.of_profile(tmp_path) == ""
