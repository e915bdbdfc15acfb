"""`python -m sgr.cli`: the same as `python -m sgr`."""

from __future__ import annotations

import sgr.__main__  # noqa: F401
