"""`python -m sgr.cli`: the same as `python -m sgr`."""

from __future__ import annotations

from sgr.cli.main import main

main()
