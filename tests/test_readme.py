"""The README and the pages it leads to: each command runs in a scratch copy, each link leads somewhere, the table is
that of the results."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import readme
from tests.readme import README, ROOT

TEXT = README.read_text()
PAGES = (
    README,
    ROOT / "docs/experiments.md",
    ROOT / "docs/cluster.md",
)  # tests/test_share.py has docs/share.md
BLOCKS = {
    f"{page.name}: {block.splitlines()[0].partition(' #')[0].strip()}": block
    for page in PAGES
    for block in readme.blocks(page.read_text(), "bash")
}

# What cannot run here as it stands, and what runs in its place.
REPRO, CAMVID = "make repro   #", 'make repro TARGETS="table_camvid figures_camvid"'
CLUSTER = 'make cluster TARGETS="table1 table2 table3 table4"'
INSTEAD = {
    REPRO: f"make --dry-run repro\n{CAMVID}   #",  # the other tables need minutes: tests/test_dag.py
    "make test": "make --dry-run test",  # this is it
    CLUSTER: f"make --dry-run {CLUSTER.removeprefix('make ')}",  # tests/test_submit_targets.py submits to SLURM
    "dvc queue start": "dvc queue status",  # tests/test_dag.py runs what is queued
    "/shared/sgr": "../shared",
    "pip install .": "pip install --quiet --no-deps --no-build-isolation --target ../borrowed .",
}


def as_run(block: str) -> str:
    for command, instead in INSTEAD.items():
        block = block.replace(command, instead)
    return block


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return readme.playground(tmp_path_factory.mktemp("readme") / "copy")


@pytest.mark.dag
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_runs_in_the_order_of_the_pages(name: str, copy: Path) -> None:
    block = BLOCKS[name]
    said = readme.script(copy, as_run(block))
    if REPRO in block:
        assert "results/mini/table_camvid.md is there" in said
    if "profile: small" in block:
        assert "results/small/table_camvid.md is there" in said
        add_row(copy)  # which the README describes next
    if "pip install" in block:
        assert (copy.parent / "borrowed/sgr/unit.py").exists()
    (copy / "cluster.yaml").unlink(missing_ok=True)


def add_row(root: Path) -> None:
    (row,) = readme.blocks(TEXT, "yaml")
    rows = yaml.safe_load((root / "params/rows.yaml").read_text())
    rows["rows"] |= yaml.safe_load(row)
    (root / "params/rows.yaml").write_text(yaml.safe_dump(rows, sort_keys=False))


def test_the_first_table_is_made_first() -> None:
    def made(*arguments: str) -> list[str]:
        command = ["make", "--dry-run", "repro", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return re.findall(
            r"python -m sgr (?:submit --here|repro) *([^|&\n]*?) *(?:\|\||&&|$)", done.stdout, re.M
        )

    assert made() == ["table_camvid figures_camvid"] * 2 + ["", ""]
    assert made("TARGETS=table1") == ["table1", "table1"]


def test_nothing_runs_in_the_place_of_what_is_not_there() -> None:
    assert [command for command in INSTEAD if not any(command in block for block in BLOCKS.values())] == []


def test_commands_in_sentences_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in readme.pages():
        # docs/mistakes.md has commands that are wrong
        for code in [] if page.name == "mistakes.md" else readme.in_line(page.read_text()):
            if made := re.match(r"make ([a-z-]+)\b", code):
                assert made[1] in targets, f"{page.name}: {code}"
            if asked := re.match(r"python -m (sgr) ([a-z-]+)|python -m ((?:stages|tests|bench)\.\w+)", code):
                assert _is_there(asked), f"{page.name}: {code}"


def _is_there(asked: re.Match[str]) -> bool:
    if asked[1]:
        return (ROOT / "sgr/cli" / f"{asked[2].replace('-', '_')}.py").exists()
    return (ROOT / f"{asked[3].replace('.', '/')}.py").exists()


def test_the_five_lines_of_the_borrower_run() -> None:
    (block,) = readme.blocks(TEXT, "python")
    given = """
import torch
torch.manual_seed(0)
images, labels = torch.rand(2, 3, 32, 40), torch.randint(0, 5, (2, 32, 40))
backbone = torch.nn.Conv2d(3, 2048, 8, 8)
head = torch.nn.Sequential(torch.nn.Conv2d(2048, 5, 1), torch.nn.Upsample(scale_factor=8))
"""
    code = f"{given}\n{block}\nloss.backward()\nassert loss.isfinite() and features.shape == (2, 2048, 4, 5)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, *_ = readme.blocks((ROOT / "docs/borrow.md").read_text(), "python")
    assert ast.dump(ast.parse(block)) == ast.dump(ast.parse(first)), "docs/borrow.md has other lines"


def test_the_table_is_that_of_the_results() -> None:
    assert readme.result_table() in TEXT
    assert TEXT.index("tokens_camvid.png") < TEXT.index(readme.HEADER) < 1000


def test_it_is_read_in_minutes() -> None:
    assert readme.words(TEXT) <= 900
    assert readme.words("Two [words](here) ![no](picture.png)\n|---|---|\n| a | b |\n") == 4


@pytest.mark.parametrize("page", readme.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in readme.links(page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in readme.anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_every_page_is_found_from_the_readme() -> None:
    reached, new = set[Path](), {README, ROOT / "docs/index.md"} & {*readme.pages()}  # the site begins there
    while new:
        page = new.pop()
        reached.add(page)
        targets = (
            (page.parent / link.partition("#")[0]).resolve() for link in readme.links(page.read_text())
        )
        new |= {target for target in targets if target.suffix == ".md" and target.exists()} - reached
    assert [page.name for page in readme.pages() if page not in reached] == []


def test_every_room_is_described() -> None:
    described = set(re.findall(r"`sgr/([a-z_]+)/`", (ROOT / "docs/structure.md").read_text()))
    assert described == {path.parent.name for path in (ROOT / "sgr").glob("*/__init__.py")}
