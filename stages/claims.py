"""Stage: the paper's claims with their verdicts. `python -m stages.claims <profile>`."""

from __future__ import annotations

from stages.common import run


def main(profile: str) -> None:
    """Write results/<profile>/claims.md, claims.csv and claims.json."""
    from sgr.plan.entry import read
    from sgr.report.claims.writing import write_claims
    from sgr.report.settings import ClaimsSettings

    entry = read(ClaimsSettings, profile, "claims", "all")
    write_claims(profile, entry.settings, entry.generated)


if __name__ == "__main__":
    run(main, "profile")
