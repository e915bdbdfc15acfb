"""The README shows what the repository holds: its table is the generated one, its links and commands exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def table(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_table_is_the_generated_one() -> None:
    generated = table((ROOT / "results/small/table_camvid.md").read_text())
    assert len(generated) == 2 + 4  # a header and the four rows
    assert "\n".join(generated) in README


def test_links_exist() -> None:
    for document in (README, (ROOT / "docs/paper.md").read_text()):
        folder = ROOT if document is README else ROOT / "docs"
        links = re.findall(r"\]\((?!http)([^)#]+)\)", document)
        assert len(links) > 3
        assert [link for link in links if not (folder / link).exists()] == []


def test_make_targets_exist() -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)\b", README, flags=re.MULTILINE))
    defined = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {"repro", "test", "help", "bench"} <= named <= defined
