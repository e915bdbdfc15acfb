"""The table of claims in Markdown, and its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sgr.files import write_bytes, write_json
from sgr.report.markdown import DASH
from sgr.report.notice import notice
from sgr.report.results import profile_folder
from sgr.report.settings import ClaimsSettings

from .evidence import Source
from .judging import Judged, count, judge
from .records import as_json, frame
from .verdicts import FAILS, HOLDS, RULE, UNTESTED

READING = (
    "A number is a difference, ours minus what it is compared with: in brackets its 95 % interval, then its own "
    "p-value, n pairs of seeds, and the paper's difference where the images are real; in the last two lines it is a "
    "share of n instances, tested against one half, and a mean over n networks. m.s.: multi-scale. Result files hold "
    "means over images, so nothing is resampled over images."
)


def write_claims(
    profile: str, settings: ClaimsSettings, generated: bool, results: Path = Path("results")
) -> None:
    """Write results/<profile>/claims.md, claims.csv with a line a number, and claims.json.

    Args:
        generated: whether the profile's images are.

    Raises:
        UserError: a missing folder of results, or a malformed result.
    """
    folder = profile_folder(results, profile)
    judged = judge(Source(results, profile, settings, generated))
    write_bytes(folder / "claims.md", markdown(judged).encode())
    write_bytes(folder / "claims.csv", frame(judged).to_csv(index=False, lineterminator="\n").encode())
    write_json(folder / "claims.json", as_json(judged))


def markdown(judged: Sequence[Judged]) -> str:
    """A line a claim; what the numbers are of, and the rule, stand above."""
    import pandas as pd

    lines = [
        {
            "the paper says": f"“{claim.words}” (section {claim.section})",
            "verdict": f"**{verdict.word}**" + (f": {verdict.reason}" if verdict.reason else ""),
            "what shows it": claim.test,
            "ours": "<br>".join(_unbroken(str(figure)) for figure in figures) or DASH,
        }
        for claim, figures, verdict in judged
    ]
    abouts = [about for one in judged for figure in one.figures for about in figure.about]
    found = count(judged)
    parts = (
        notice(abouts),
        "# The paper's claims",
        f"Of {len(judged)} claims {found[HOLDS]} hold, {found[FAILS]} do not, {found[UNTESTED]} are not tested.",
        RULE,
        READING,
        pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True),
    )
    return "\n\n".join(parts) + "\n"


def _unbroken(text: str) -> str:
    """A number in words whose `n = 5` and `[-0.10, +0.58]` stay on one line in a narrow cell."""
    return re.sub(r"(?<=[=<]) | (?=[=<])|(?<=[\d%],) (?=[-+\d.]+%?\])", "\u00a0", text)
