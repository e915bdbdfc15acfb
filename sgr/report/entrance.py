"""results/README.md, where a reader of the results comes in: verdicts first, then what was run, and where it lies.

It is made of the files of all profiles that have results, and of nothing else, so that it is the same again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sgr.files import read_json, write_bytes

from . import runs
from .markdown import pipe

NAME = "README.md"
OPENING = (
    "Every file here is made by a stage of the workflow, none by hand. A table stands as Markdown, as CSV with every "
    "digit, and as LaTeX. Its first line says how many images of which dataset it is of, and which schedule."
)
HOLDS, FAILS, UNTESTED = "holds", "does not hold", "not tested"  # as claims.json counts them


def write_entrance(profiles: Sequence[str], results: Path = Path("results")) -> None:
    """Write results/README.md: a part for each of these profiles that has a table, in their order.

    Raises:
        UserError: a file of claims or provenance that is no JSON.
    """
    parts = ["# Results", OPENING]
    for profile in profiles:
        tables = _tables(results, profile)
        if tables:
            parts += [f"## Profile {profile}", *_claims(results, profile)]
            run = runs.of_profile(results / "provenance" / profile)
            parts += [f"{run[:-1]} ([provenance](provenance/{profile}))."] if run else []
            parts += [pipe(("table", "images"), tables), *_pictures(results, profile)]
    write_bytes(results / NAME, ("\n\n".join(parts) + "\n").encode())


def _claims(results: Path, profile: str) -> Iterator[str]:
    """How many of the paper's claims hold, and the verdict on each where any is tested."""
    file = results / profile / "claims.json"
    if not file.exists():
        return
    found = read_json(file)
    claims, counted = found["claims"], found["count"]
    yield (
        f"Of [{len(claims)} claims of the paper]({profile}/claims.md) {counted[HOLDS]} hold, {counted[FAILS]} do not, "
        f"{counted[UNTESTED]} are not tested."
    )
    if counted[UNTESTED] < len(claims):
        yield pipe(
            ("the paper says", "section", "verdict"),
            [
                (claim["words"], claim["section"], _with(f"**{claim['verdict']}**", claim["reason"]))
                for claim in claims
            ],
        )


def _with(verdict: str, reason: str) -> str:
    return f"{verdict}: {reason}" if reason else verdict


def _tables(results: Path, profile: str) -> list[tuple[str, str]]:
    """Links of each table and the images that it is of; those of Table 1 to 4 and their like before the others."""
    files = [file for file in (results / profile).glob("*.md") if file.stem != "claims"]
    files.sort(key=lambda file: (not file.stem.startswith("table"), file.stem))
    overhead = results / "overhead" / f"{profile}.md"
    return [_table(results, file) for file in [*files, overhead] if file.exists()]


def _table(results: Path, file: Path) -> tuple[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    title = next((line[2:] for line in lines if line.startswith("# ")), file.stem)
    others = [
        f"[{name}]({file.with_suffix(suffix).relative_to(results)})"
        for suffix, name in ((".csv", "CSV"), (".tex", "LaTeX"))
        if file.with_suffix(suffix).exists()
    ]
    # without how many images of which split, and with which schedule
    images = re.sub(r" \([^)]*\)", "", lines[0]).partition(";")[0].rstrip(".")
    return " · ".join([f"[{title}]({file.relative_to(results)})", *others]), images


def _pictures(results: Path, profile: str) -> Iterator[str]:
    """Links to the page and the figures."""
    if (results / profile / "index.html").exists():
        yield f"[The page]({profile}/index.html), to be opened in a browser, has all of it to explore."
    figures = sorted((results / profile / "figures").glob("*.png"))
    if figures:
        links = (f"[{file.stem.replace('_', ' ')}]({file.relative_to(results)})" for file in figures)
        yield f"Figures: {', '.join(links)}."
