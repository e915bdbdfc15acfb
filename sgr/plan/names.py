"""Names of rows, datasets, profiles, backbones and tables: they become folders, targets and words of commands."""

from __future__ import annotations

import re

from sgr.errors import UserError

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
# backbones are called as torchvision calls them, tables by their dataset
WIDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")

# Folders below results/ and data/, targets of the command line: a row or dataset of that name would share them.
RESERVED = {
    *("plan", "download", "components", "weights", "train", "evaluate", "semantics", "transfer", "detect"),
    *("sweep", "overhead", "all", "table", "table1", "table2", "table3", "table4"),
    *("claims", "figures", "curves", "summary", "provenance", "generated"),
}


def plain(text: str) -> str:
    """A name of a row, a dataset or a profile. Raises ValueError if it is none."""
    if not NAME.fullmatch(text):
        raise ValueError("a name is small letters, digits and hyphens, a letter or digit first, at most 100")
    if text in RESERVED:
        raise ValueError("the workflow itself has something of that name")
    return text


def wider(text: str) -> str:
    """The same with underscores, of a backbone or a table. Raises ValueError if it is none."""
    if not WIDER.fullmatch(text):
        raise ValueError(
            "a name is small letters, digits, hyphens and underscores, a letter or digit first, at most 100"
        )
    return text


def check(**names: str) -> None:
    """Raises UserError for the first argument of a command that no row, dataset, … can be called."""
    for what, text in names.items():
        try:
            wider(text)
        except ValueError as error:
            raise UserError(f"{what} {text!r}: {error}") from None
