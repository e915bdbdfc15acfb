"""LaTeX of the tables: every file parses strictly, and says what the Markdown says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sgr.plan.params import load
from sgr.report.builder import Built, build
from sgr.report.labels import networks
from sgr.report.latex import escape, float_of, tabular
from sgr.report.layout import Grid
from sgr.report.tables import splits_of, tables

ROOT = Path(__file__).parents[1]
PARAMS = load(ROOT / "params.yaml")
ROWS = dict(networks(PARAMS))
RULES = re.compile(r"\\(toprule|midrule|bottomrule|addlinespace|cmidrule\(lr\)\{\d+-\d+\}( \\cmidrule.*)?)$")


def built(name: str, folder: Path) -> tuple[Built, str]:
    """A table with what results/mini holds, and its LaTeX."""
    found = build(tables(splits_of(PARAMS))[name](), folder, ROWS)
    return found, float_of(name, found.title, found.reading, found.grids, [found.notice])


def parse(text: str) -> list[list[list[str]]]:
    """The cells of each `tabular`, spans repeated; fails on anything that LaTeX would stumble over."""
    assert text.isascii()
    first, *lines = text.splitlines()
    assert first == r"% \usepackage{booktabs}"
    for line in lines:
        bare = re.sub(r"\\[&%$#_{}\\]", "", line)  # escaped
        assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0, line
        outside = re.sub(r"\$[^$]*\$", "", re.sub(r"\\(label|begin|end)\{.*?\}", "", bare))
        assert not re.search(r"[%#_^~]", outside), line
    opened: list[str] = []
    found: list[list[list[str]]] = []
    for line in lines:
        if begin := re.match(r"\\begin\{(.*?)\}(?:\{(l*r*)\}|\[t\])$", line):
            opened.append(begin[1])
            if begin[1] == "tabular":
                found.append([])
                width = len(begin[2])
        elif end := re.match(r"\\end\{(.*?)\}$", line):
            assert opened.pop() == end[1]
        elif opened[-1:] == ["tabular"] and not RULES.match(line):
            assert line.endswith(r" \\"), line
            cells: list[str] = []
            for cell in re.split(r"(?<!\\)&", line.removesuffix(r" \\")):
                span = re.fullmatch(r"\s*\\multicolumn\{(\d+)\}\{c\}\{(.*)\}\s*", cell)
                cells += [span[2]] * int(span[1]) if span else [cell.strip()]
            assert len(cells) == width, line
            found[-1].append(cells)
        elif opened[-1:] == ["tabular"]:
            assert "addlinespace" not in line or found[-1]
        else:
            assert "&" not in re.sub(r"\\&", "", line), line
    assert not opened and found
    return found


@pytest.mark.parametrize("name", list(tables(splits_of(PARAMS))))
@pytest.mark.parametrize("results", ["results/mini", "without any"])
def test_every_table_parses_and_has_the_cells_of_the_markdown(
    name: str, results: str, tmp_path: Path
) -> None:
    table, text = built(name, ROOT / results if "/" in results else tmp_path)
    found = parse(text)
    assert len(found) == len(table.grids)
    for grid, lines in zip(table.grids, found, strict=True):
        bodies = lines[-len(grid.rows) :]
        assert bodies == [[escape(cell) for cell in row] for row in grid.rows]
        assert lines[-len(grid.rows) - 1] == [escape(title) for _, title in grid.columns]
    assert text.count(r"\caption{") == text.count(r"\label{tab:" + name + "}") == 1
    assert "caption{Table" not in text  # LaTeX counts for itself


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**33.00±2.83**†‡ (-0.50±1.41) [38.8]", 
         r"\textbf{33.00$\pm$2.83}$^\dagger$$^\ddagger$ ($-$0.50$\pm$1.41) [38.8]"),
        ("S_C ↓ and D_I ↑", r"$S_C$ $\downarrow$ and $D_I$ $\uparrow$"),
        ("5 % of a_b & c #1 {x} ~ ^ $", r"5 \% of a\_b \& c \#1 \{x\} \textasciitilde{} \textasciicircum{} \$"),
        ("crops of 96 × 96, Swin-T, MIT-B4: —", r"crops of 96 $\times$ 96, Swin-T, MIT-B4: --"),
        ("a\\b", r"a\textbackslash{}b"),
    ],
)  # fmt: skip
def test_what_latex_reads_as_a_command_is_escaped(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_columns_of_a_group_share_a_title_and_a_rule() -> None:
    columns = (("", "method"), ("", "backbone"), ("A & B", "s.s."), ("A & B", "m.s."), ("C", "s.s."))
    rows = (("x", "r", "1", "2", "3"), ("y", "r", "1", "2", "3"), ("z", "s", "1", "2", "3"))
    text = tabular(Grid("", "", columns, rows, frozenset({2}), ()))
    assert text.splitlines() == [
        r"\begin{tabular}{llrrr}",
        r"\toprule",
        r"\multicolumn{2}{c}{} & \multicolumn{2}{c}{A \& B} & C \\",
        r"\cmidrule(lr){3-4} \cmidrule(lr){5-5}",
        r"method & backbone & s.s. & m.s. & s.s. \\",
        r"\midrule",
        r"x & r & 1 & 2 & 3 \\",
        r"y & r & 1 & 2 & 3 \\",
        r"\addlinespace",
        r"z & s & 1 & 2 & 3 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
