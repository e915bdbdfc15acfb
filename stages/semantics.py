"""Stage: semantics and diversity of a row's tokens. `python -m stages.semantics <profile> <row>`."""

from __future__ import annotations

from pathlib import Path

from stages.common import run, run_and_take, write_result


def main(profile: str, row: str) -> None:
    """Write results/<profile>/<dataset>/<row>.semantics.json, and the examples of the first seed for Figure 4."""
    from sgr.files import write_bytes

    entry, _, folder = run_and_take("semantics", profile, row)
    write_result("semantics", profile, entry, "semantics.json", ".semantics")
    examples = (folder / str(entry.seeds[0]) / "tokens.npz").read_bytes()
    write_bytes(Path("work", profile, "tokens", entry.results, f"{row}.npz"), examples)


if __name__ == "__main__":
    run(main, "profile", "row")
