"""`python -m sgr`: the command line."""

from __future__ import annotations

from sgr.cli.main import main

main()
