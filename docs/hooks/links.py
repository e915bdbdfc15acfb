"""Links of the documentation to files of the repository, which are no pages of the site."""

from __future__ import annotations

import os
import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """`[text](../path)` leads to the file on GitHub where the site is built there, and is the text alone elsewhere."""
    repository = os.environ.get("GITHUB_REPOSITORY")
    link = rf"[\1](https://github.com/{repository}/blob/HEAD/\2)" if repository else r"\1"
    return OUTSIDE.sub(link, markdown)
