"""`python -m sgr`: the command line."""

from __future__ import annotations

from sgr.jobs.failure import one_sentence

with one_sentence():
    from sgr.cli.main import main

    main()
