"""The page of a profile in a real browser, opened from the disk: what one sees, points at, types and hears read."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import a_page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

AXE = Path(__file__).parent / "browser" / "axe" / "axe.min.js"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_page.write(tmp_path_factory.mktemp("page"))


@pytest.fixture
def opened(browser: Browser, folder: Path) -> Iterator[Any]:
    """Opens the page at a size, in a colour scheme, and waits until it is drawn; nothing may go wrong or be asked."""
    contexts, said = [], []

    def open_page(size: Any = WIDE, scheme: Any = "light", script: bool = True) -> Page:
        context = browser.new_context(viewport=size, color_scheme=scheme, java_script_enabled=script)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("requestfailed", lambda request: said.append(request.url[:200]))
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url),
        )
        page.goto((folder / "index.html").as_uri())
        if script:
            expect(page.locator("#compared canvas")).to_have_count(6, timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def methods(page: Page, table: int = 0) -> list[str]:
    """The second column of the rows that are shown."""
    rows = page.locator("table.sortable").nth(table).locator("tbody tr:visible td:nth-child(2)")
    return rows.all_inner_texts()


def point(page: Page, x: float, y: float) -> None:
    """Move the pointer to a place of the image, in shares of its width and height."""
    page.locator("#map-image").scroll_into_view_if_needed()
    box = page.locator("#map-image").bounding_box()
    assert box
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


def test_the_pointer_shows_which_tokens_hold_a_pixel(opened: Any) -> None:
    page = opened()
    # The networks' tokens hold a cell of 3 x 4 each: the cell below (0.4, 0.1) is the second of the first line.
    point(page, 0.4, 0.1)
    expect(page.locator("#pixel")).to_have_text(
        "Pixel 12, 2: label wall, prediction wall. Held by token 11 (wall 75\u00a0%)."
    )
    expect(page.locator("#held tbody tr").first).to_have_text("11100\u00a0%wall 75\u00a0%, sky 25\u00a0%")
    expect(page.locator("#held tbody tr.holds")).to_have_count(1)
    point(page, 0.55, 0.1)
    expect(page.locator("#pixel")).to_contain_text("label sky, prediction wall. Held by token 12")
    point(page, 0.9, 0.9)
    expect(page.locator("#pixel")).to_contain_text("No token shown holds it.")


def test_pixels_have_the_colours_of_their_classes_and_weights(opened: Any) -> None:
    page = opened()
    point(page, 0.6, 0.95)

    def pixel(canvas: str, x: int, y: int) -> tuple[int, ...]:
        url = page.evaluate(f"document.querySelector('{canvas}').toDataURL()")
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
            return [*picture.convert("RGB").getdata()][y * picture.width + x]

    wall, _, sky = map(tuple, page.evaluate("SGR.data['tokens-ade20k'].colours.slice(0, 3)"))
    assert pixel("#map-label", 3, 3) == wall and pixel("#map-label", 30, 3) == sky
    assert pixel("#map-prediction", 19, 3) == wall  # four pixels further right than the label's
    assert pixel("#map-image", 3, 3) == (60, 60, 60)
    page.locator("#token-list button").nth(3).click()
    hot, cold = pixel("#map-token", 28, 3), pixel("#map-token", 3, 20)
    assert hot[0] > 150 > cold[0] == cold[1] == cold[2] == 30


def test_the_keyboard_moves_the_pixel(opened: Any) -> None:
    page = opened()
    page.locator("#map-image").focus()
    expect(page.locator("#pixel")).to_contain_text("Pixel 16, 12")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#pixel")).to_contain_text("Pixel 15, 11: label wall")
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#pixel")).to_contain_text("Pixel 31, 11: label sky")


def test_everything_is_reached_by_tab_in_order(opened: Any) -> None:
    page = opened()
    reached: list[str] = []
    for _ in range(300):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        if reached[-1] == "compared":
            break
    assert reached[:2] == ["Skip to the results", "Claims"]
    order = ["filter", "curve-dataset", "curve-log", "token-dataset", "token-row", "token-count", "map-image"]
    assert [one for one in reached if one in order] == order


def test_the_slider_sets_how_many_tokens_are_shown(opened: Any) -> None:
    page = opened()
    assert page.locator("#token-list button").count() == a_page.TOKENS
    page.locator("#token-count").focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#token-list button")).to_have_count(2)
    expect(page.locator("#token-count-value")).to_have_text("2")
    point(page, 0.55, 0.1)  # token 12, which is no longer shown
    expect(page.locator("#pixel")).to_contain_text("No token shown holds it.")


def test_a_token_is_seen_in_every_image_beside_its_nearest(opened: Any) -> None:
    page = opened()
    page.locator("#token-list button").nth(4).press("Enter")
    expect(page.locator("#token-list button").nth(4)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#compared tbody th")).to_have_text(
        [
            "Dil-FCN + SGRtoken 14",
            "Dil-FCN + GloRenearest: token 14, cosine 1.00",
            "MaskFormernearest: token 14, cosine 1.00",
        ]
    )
    expect(page.locator("#compared thead th")).to_have_text(["Network", "street_0", "street_1"])


def test_another_network_and_image_are_looked_at(opened: Any) -> None:
    page = opened()
    expect(page.locator("#measures")).to_contain_text("S 0.375 (lower is better), diversity D —")
    page.locator("#token-row").select_option(label="Dil-FCN + GloRe")
    expect(page.locator("#measures")).to_contain_text("S 0.250 (lower is better), diversity D 0.500")
    expect(page.locator("#prediction-caption")).to_have_text("prediction of Dil-FCN + GloRe")
    page.locator("#token-image").select_option(label="street_1")
    expect(page.locator("#map-image")).to_have_attribute(
        "aria-label", "street_1; the arrow keys move the pixel that is looked at"
    )


def test_a_column_sorts_both_ways_and_back(opened: Any) -> None:
    page = opened()
    own = methods(page)
    head = page.locator("table.sortable").first.get_by_role("button", name="s.s. ↑", exact=True)
    column = page.locator("table.sortable").first.locator("tbody td.ours:nth-child(6)")

    def values() -> list[float]:
        return [float(text.split()[0]) for text in column.all_inner_texts() if text != "—"]

    head.click()
    assert values() == sorted(values(), reverse=True)
    expect(page.locator("th[aria-sort=descending]")).to_have_count(1)
    head.press("Enter")
    assert values() == sorted(values()) and len(values()) > 20
    head.click()
    assert methods(page) == own
    expect(page.locator("th[aria-sort]")).to_have_count(0)


def test_rows_are_those_with_every_word(opened: Any) -> None:
    page = opened()
    page.locator("#filter").fill("segformer SGR")
    assert {*methods(page)} == {"SegFormer + SGR"}
    expect(page.locator("#found")).to_contain_text(" of ")
    page.locator("#filter").fill("nothing of that name")
    assert methods(page) == []
    page.locator("#filter").fill("")
    assert "Dil-FCN" in methods(page)


def test_columns_are_shown_on_demand(opened: Any) -> None:
    page = opened()
    table = page.locator("table.sortable").first
    expect(table.locator("th.paper").first).to_be_hidden()
    page.locator("#show-paper").check()
    expect(table.locator("th.paper").first).to_be_visible()
    page.locator("#show-gain").uncheck()
    expect(table.locator("th.gain").first).to_be_hidden()


def test_curves_of_the_chosen_rows_lie_over_one_another(opened: Any) -> None:
    page = opened()
    page.locator("#curve-dataset").select_option(label="CamVid")
    expect(page.locator("#chart canvas")).to_have_count(1)
    expect(page.locator("#chart-table thead th")).to_have_count(5)  # iterations and four rows
    page.locator("#curve-term").select_option(label="concept cosine")
    expect(page.locator("#chart-table thead th")).to_have_text(["iteration", "Dil-FCN + SGR"])
    expect(page.locator("#chart-note")).to_contain_text("3 of the chosen rows have no such loss.")
    for box in page.locator("#curve-rows input").all():
        box.uncheck()
    expect(page.locator("#chart canvas")).to_have_count(0)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1440", "360"])
def test_the_page_never_scrolls_sideways(opened: Any, size: Any) -> None:
    page = opened(size)
    for name in ("gain", "paper", "count"):
        page.locator(f"#show-{name}").check()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide == size["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1440", "360"])
def test_axe_finds_nothing(opened: Any, size: Any, scheme: str) -> None:
    """Names, roles, order, and contrast of every text with its ground."""
    page = opened(size, scheme)
    for name in ("gain", "paper", "count"):
        page.locator(f"#show-{name}").check()
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run({ preload: false })")  # it would read style sheets, which a disk forbids
    told = [(one["id"], one["help"], one["nodes"][0]["html"][:200]) for one in found["violations"]]
    assert told == [] and len(found["passes"]) > 20
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(253, 253, 252)") == (scheme == "light")


def test_claims_and_tables_need_no_script(opened: Any) -> None:
    page = opened(script=False)
    expect(page.locator(".claims tbody tr")).to_have_count(2)
    assert "Dil-FCN" in methods(page)
    expect(page.locator("noscript")).to_be_visible()
