"""DVC as the project's commands run it: `python -m sgr.cli.dvc repro`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sgr.files import write_bytes


@cache  # what is adapted is the process
def adapt() -> None:
    """Have DVC, in this process, write dvc.lock aside and rename it, and do without git in a folder that has none."""
    from dvc import dvcfile, scm
    from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

    @contextmanager
    def modify_yaml(path: str, fs: object = None) -> Iterator[dict[str, Any]]:
        there = Path(path)
        data = parse_yaml_for_update(there.read_text(encoding="utf-8"), path) if there.exists() else {}
        yield data
        write_bytes(path, dumps_yaml(data).encode())

    def git_or_none(root_dir: str, git: Any = scm.SCM, **options: bool) -> Any:
        try:
            return git(root_dir, **options)
        except scm.SCMError:
            return git(root_dir, no_scm=True)

    dvcfile.modify_yaml, scm.SCM = modify_yaml, git_or_none


if __name__ == "__main__":
    from dvc.cli import main

    adapt()
    sys.exit(main(sys.argv[1:]))
