r"""LaTeX of a table, for \input into a paper that loads `booktabs`: a float as wide as the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .layout import Grid

# What LaTeX reads as a command, then what a font may lack.
CHARACTERS = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "Δ": r"$\Delta$",
    "²": "$^2$",
    "—": "--",
    "–": "--",
    "\u2019": "'",
}
# The bold of Markdown, S_C and its like, and the sign of a number, before the rest is taken letter by letter.
SPECIAL = re.compile(r"\*\*(?P<bold>.+?)\*\*|\b(?P<symbol>[SD]_[CI])\b|(?<!\w)(?P<minus>-)(?=\d)")


def float_of(label: str, title: str, caption: str, grids: Sequence[Grid], notes: Sequence[str]) -> str:
    r"""A `table*` with a `tabular` for each grid.

    Args:
        label: of \ref, after `tab:`.
        title: with its number in front, as in `Table 1. …`, which LaTeX counts for itself.
        caption: how to read the numbers.
        notes: sentences under the last grid.
    """
    told = re.sub(r"^Table \d+\. ", "", title)
    parts = [
        r"% \usepackage{booktabs}",
        r"\begin{table*}[t]",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        f"\\caption{{{escape(told)}. {escape(caption)}}}",
        f"\\label{{tab:{label}}}",
    ]
    for grid in grids:
        parts += [f"\\par\\medskip\\textbf{{{escape(grid.heading)}}}\\par\\smallskip"] if grid.heading else []
        parts.append(tabular(grid))
        parts += [f"\\par\\smallskip {escape(sentence)}" for sentence in (grid.text, *grid.below) if sentence]
    parts += [f"\\par\\smallskip {escape(sentence)}" for sentence in notes]
    return "\n".join([*parts, r"\end{table*}", ""])


def tabular(grid: Grid) -> str:
    """The grid alone: groups of columns under one title, a little space between frameworks."""
    import pandas as pd

    columns = [(escape(group), escape(title)) for group, title in grid.columns]
    grouped = any(group for group, _ in columns)
    header = pd.MultiIndex.from_tuples(columns) if grouped else [title for _, title in columns]
    frame = pd.DataFrame([[escape(cell) for cell in row] for row in grid.rows], columns=header)
    layout = "ll" + "r" * (len(columns) - 2)
    text = frame.style.hide(axis="index").to_latex(
        hrules=True, column_format=layout, multicol_align="c", sparse_columns=True
    )
    lines = text.splitlines()
    first = lines.index(r"\midrule") + 1
    for start in sorted(grid.starts, reverse=True):
        lines.insert(first + start, r"\addlinespace")
    if grouped:
        lines.insert(first - 2, _rules(columns))
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text with the marks of Markdown as LaTeX."""
    parts, place = [], 0
    for match in SPECIAL.finditer(text):
        parts.append(_plain(text[place : match.start()]))
        parts.append(f"\\textbf{{{escape(match['bold'])}}}" if match["bold"] else f"${match[0]}$")
        place = match.end()
    return "".join([*parts, _plain(text[place:])])


def _plain(text: str) -> str:
    return "".join(CHARACTERS.get(character, character) for character in text)


def _rules(columns: Sequence[tuple[str, str]]) -> str:
    """A rule under the title of each group."""
    groups = [(n, group) for n, (group, _) in enumerate(columns, 1) if group]
    ends: dict[str, list[int]] = {}
    for n, group in groups:
        ends.setdefault(group, []).append(n)
    return " ".join(f"\\cmidrule(lr){{{min(of)}-{max(of)}}}" for of in ends.values())
