"""Stage: the entrance to the results. `python -m stages.entrance <profile>`."""

from __future__ import annotations

from stages.common import run


def main(profile: str) -> None:
    """Write results/README.md: verdicts, what was run, and where each table and figure is, of every profile."""
    from sgr.plan.entry import read
    from sgr.report.entrance import write_entrance
    from sgr.report.settings import EntranceSettings

    write_entrance(read(EntranceSettings, profile, "entrance", "all").settings.profiles)


if __name__ == "__main__":
    run(main, "profile")
