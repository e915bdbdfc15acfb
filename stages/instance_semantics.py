"""Stage: S and D of a row's tokens over instances. `python -m stages.instance_semantics <profile> <row>`."""

from __future__ import annotations

from stages.common import run, run_and_take, write_result


def main(profile: str, row: str) -> None:
    """Write results/<profile>/<dataset the row was trained on>/<row>.instances.json, one entry a seed."""
    entry, *_ = run_and_take("instance_semantics", profile, row)
    write_result("instance_semantics", profile, entry, "instance_semantics.json", ".instances")


if __name__ == "__main__":
    run(main, "profile", "row")
