"""What the pages for people hold: their code blocks, their links, their visible words; and the table of the README.

`python -m tests.readme` writes that table anew from results/small.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

from PIL import Image

from tests.scratch import commit, copy_checkout, parameters, run, write_parameters
from tests.test_submit_targets import TINY as ONE_ROW

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "results/small/table_camvid.csv"
HEADER = "| method | test mIoU ↑ | S_C ↓ | D_C ↑ |"
# column of the CSV -> decimals
COLUMNS = {"test_miou_ss": 2, "semantics_class": 3, "diversity_class": 3}

ROWS = ("camvid-fcn", "camvid-fcn-sgr")
TINY = {**ONE_ROW, "profiles.mini.sweep": {"K": [6], "L": [2]}, "profiles.mini.overhead_repeats": 1}


def pages() -> list[Path]:
    """The Markdown files that people wrote or that stand where people look, but for what the stages write."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def in_line(text: str) -> list[str]:
    """The code that stands within sentences and tables."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def links(text: str) -> list[str]:
    """The targets of the links and pictures that stay in the repository, with their anchors."""
    return re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", re.sub(r"`[^`\n]+`", "", prose(text)))


def anchors(text: str) -> set[str]:
    """What may follow the # of a link to the page, as GitHub makes it of the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def words(text: str) -> int:
    """How many words a reader of the rendered page sees, code and tables included, targets of links not."""
    seen = re.sub(r"!\[[^]]*\]\([^)]*\)", "", text)
    seen = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", seen)
    return sum(bool(re.search(r"\w", word)) for word in seen.split())


def result_table() -> str:
    """The table of the README: of each row of CamVid in the profile small what matters most."""
    lines = [HEADER, "|---|---|---|---|"]
    with open(RESULTS) as file:
        for row in csv.DictReader(file):
            cells = [_cell(row, column, decimals) for column, decimals in COLUMNS.items()]
            lines.append(f"| {' | '.join([row['method'], *cells])} |")
    return "\n".join(lines)


def _cell(row: dict[str, str], column: str, decimals: int) -> str:
    if not row[f"{column}_ours"]:
        return "—"
    mean, deviation = float(row[f"{column}_ours"]), float(row[f"{column}_std"])
    return f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"


def playground(root: Path) -> Path:
    """A copy of the checkout as somebody has it after `make install`, in which a row trains for seconds.

    CamVid's plain row and its row with SGR are all there is, in the profiles mini and small, at a few iterations on a
    few generated images; a photograph lies beside them.
    """
    copy_checkout(root)
    gone = {f"rows.{name}": ... for name in parameters()["rows"] if name not in ROWS}
    small = {"profiles.small": parameters(TINY)["profiles"]["mini"]}
    write_parameters(root, {**TINY, **small, **gone, "transfer": {}})
    Image.new("RGB", (70, 50), (90, 120, 60)).save(root / "photo.jpg")
    installed(root)
    for command in (["python", "-m", "sgr", "pipeline"], ["make", "--touch", "install"]):
        done = run(root, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    commit(root)
    return root


def installed(root: Path) -> None:
    """Give `root` a .venv that is the environment of this process, without a stamp."""
    (root / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if not path.name.startswith("installed-"):
            (root / ".venv" / path.name).symlink_to(path)


def script(root: Path, commands: str) -> str:
    """Run a block as a person would type it, to a good end; what it says."""
    done = run(root, "bash", "-eux", "-o", "pipefail", "-c", commands)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def main() -> None:
    """Put the table of today's results in the place of the README's."""
    text = README.read_text()
    before, _, after = text.partition(HEADER)
    README.write_text(before + result_table() + "\n\n" + after.partition("\n\n")[2])


if __name__ == "__main__":
    main()
