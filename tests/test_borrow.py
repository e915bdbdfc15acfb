"""docs/borrow.md and the notebook: every block of code runs, in the order of the page."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sgr import yaml_files
from tests.scratch import ROOT

PAGE = (ROOT / "docs/borrow.md").read_text()
FIVE = "import sgr\n"  # what the five lines start with


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def network() -> dict[str, Any]:
    """What the page takes as given: a backbone of 2048 channels, a head, images, labels, tokens of a transformer."""
    torch.manual_seed(0)
    labels = torch.randint(0, 19, (2, 4, 4)).repeat_interleave(16, 1).repeat_interleave(16, 2)
    labels[:, :4] = 255
    nuclei = torch.zeros(2, 64, 64, dtype=torch.int64)
    nuclei[:, 8::16, 8::16] = nuclei[:, 9::16, 8::16] = nuclei[:, 10::16, 8::16] = 1
    nuclei = torch.nn.functional.max_pool2d(nuclei[:, None].float(), 3, 1, 1)[:, 0].long()
    return {
        "backbone": nn.Conv2d(3, 2048, 8, 8),
        "head": nn.Sequential(nn.Conv2d(2048, 19, 1), nn.Upsample(scale_factor=8)),
        "images": torch.randn(2, 3, 64, 64),
        "labels": labels,
        "nuclei": nuclei,
        "sequence": torch.randn(2, 14 * 14, 2048),
    }


@pytest.mark.filterwarnings("error")
def test_every_block_of_the_page_runs(network: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = blocks(PAGE, "python")
    assert first.startswith(FIVE) and len(others) == 3
    exec(first, network)
    network["loss"].backward()
    assert network["unit"].expand.weight.grad.abs().sum() > 0
    assert network["components"].amax() > 1
    for block in others:
        exec(block, network)
    assert network["enhanced"].shape == network["sequence"].shape
    assert network["components"].amax() == 17  # the background and sixteen nuclei
    assert re.fullmatch(r"S \d\.\d{3} \(.*\), D \d\.\d{3} \(.*\)\n", capsys.readouterr().out)


def test_weight_and_share_are_those_of_the_rows() -> None:
    (five,) = [block for block in blocks(PAGE, "python") if block.startswith(FIVE)]
    unit = yaml_files.read(ROOT / "params/profiles/paper.yaml")["sgr"]
    components = yaml_files.read(ROOT / "params/rows.yaml")["components"]
    (weight,) = re.findall(r"\+ ([\d.]+) \* concept_loss", five)
    (share,) = re.findall(r"min_share=([\d.]+)", five)
    assert float(weight) == unit["beta"]
    assert float(share) == components["min_share"]
    assert all(f"{name}={unit[name]}" in five for name in ("K", "L", "D"))


def test_readme_has_the_same_lines() -> None:
    (here,) = [block for block in blocks(PAGE, "python") if block.startswith(FIVE)]
    (there,) = [b for b in blocks((ROOT / "README.md").read_text(), "python") if b.startswith(FIVE)]
    assert ast.unparse(ast.parse(there)) == ast.unparse(ast.parse(here))


def test_links_of_the_page_exist_and_its_commands_name_examples() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", PAGE)
    assert len(links) > 4 and all((ROOT / "docs" / link).exists() for link in links)
    named = re.findall(r"python -m (\S+)", "".join(blocks(PAGE, "bash")))
    assert named and all((ROOT / f"{module.replace('.', '/')}.py").exists() for module in named)


def test_notebook_runs_and_holds_what_it_showed(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    path = ROOT / "examples/borrow.ipynb"
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in cells:
        exec("".join(cell["source"]), names)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    shown = [output for cell in cells for output in cell["outputs"]]
    assert all(output["output_type"] != "error" for output in shown)
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2
    assert Path.home().as_posix() not in path.read_text()
