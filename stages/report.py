"""Stage: the page of a profile. `python -m stages.report <profile>`."""

from __future__ import annotations

from stages.common import run


def main(profile: str) -> None:
    """Write results/<profile>/index.html, and page/ beside it, of the results that are there."""
    from sgr.plan.entry import read
    from sgr.report.html import write_page
    from sgr.report.settings import ReportSettings

    settings = read(ReportSettings, profile, "report", "all").settings
    write_page(profile, settings.rows, settings.datasets)


if __name__ == "__main__":
    run(main, "profile")
