"""Run a DVC command and number its stages. `python -m sgr.cli.progress dvc repro [TARGET…]`."""

from __future__ import annotations

import os
import re
import subprocess
import sys

STAGE = re.compile(rb"^(Running stage|Stage) '([^']+)'")


def main(command: list[str]) -> int:
    """Pass the command's output on as it comes, each stage with its number and the number of all; its exit status."""
    listed = subprocess.run(["dvc", "stage", "list", "--name-only"], capture_output=True, text=True)
    total = len(listed.stdout.split())
    seen: set[bytes] = set()
    # unbuffered, so that a stage is named when it starts and not when it ends
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if match := STAGE.match(line):
                seen.add(match[2])
                sys.stdout.write(f"[{len(seen)}/{total}] ")
                sys.stdout.flush()
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
