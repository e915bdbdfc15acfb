"""docs/mistakes.md: each mistake is made in a scratch copy, and what it prints is what the page says."""

from __future__ import annotations

import re

import pytest

from tests.mistakes import HEAD, MISTAKES, PAGE, Mistake, World, shown

ALL = [mistake for mistakes in MISTAKES.values() for mistake in mistakes]
ROWS = [line for line in PAGE.read_text().splitlines() if re.match(r"\| (?!mistake )", line)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A scratch copy."""
    return World(tmp_path_factory.mktemp("mistakes"))


def test_page_is_of_the_list() -> None:
    assert PAGE.read_text().startswith(HEAD)
    said = [row.split(" | ")[0].removeprefix("| ") for row in ROWS]
    assert said == [mistake.what for mistake in ALL], "run python -m tests.mistakes"


@pytest.mark.parametrize(
    ("number", "mistake"), list(enumerate(ALL)), ids=[f"{mistake.command}: {mistake.what}" for mistake in ALL]
)
def test_mistake(number: int, mistake: Mistake, world: World) -> None:
    told = world.make(mistake)
    assert told.status == mistake.status, told
    assert told.touched == set(), "a file is left"
    assert len(told.said.splitlines()) == 1 and "Traceback" not in told.said and len(told.said) < 500
    assert told.said.startswith("error: " if mistake.status == 2 else ("error: ", "ERROR: ")), told.said
    assert shown(mistake, told) == ROWS[number]
