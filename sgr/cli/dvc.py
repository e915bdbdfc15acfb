"""`python -m sgr.cli.dvc …`: DVC, whose locks are whole whenever it is killed."""

from __future__ import annotations

import sys

from dvc.cli import main

from sgr.cli.dvc_lock import write_whole

if __name__ == "__main__":
    write_whole()
    sys.exit(main(sys.argv[1:]))
