"""The explorer in a real browser: every action, an empty console, and no barrier."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api")

START = "#text=To+be,+or+not+to+be&network=lstm&step=5&unit=3&language=en&theme=light"

expect = playwright.expect


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: playwright.Browser, address: str) -> Iterator[playwright.Page]:
    """The page at `START`; the test fails if the console says anything."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address + START)
    expect(page.locator("#moment")).to_have_text("step 5 of 18: To be[,]")
    yield page
    page.close()
    assert said == []


def wire(page: playwright.Page, name: str) -> float:
    """The value that the diagram shows on a wire."""
    text = page.locator(f'[data-wire="{name}"] .value').text_content()
    return float(text.replace("−", "-"))


def test_the_diagram_shows_a_step_that_obeys_the_equation(page: playwright.Page) -> None:
    assert abs(wire(page, "kept") + wire(page, "written") - wire(page, "c")) < 0.011
    page.click("#forward")
    expect(page.locator("#moment")).to_contain_text("step 6 of 18")
    assert abs(wire(page, "f") * wire(page, "c0") - wire(page, "kept")) < 0.02


def test_keys_step_follow_and_play(page: playwright.Page) -> None:
    page.keyboard.press("ArrowRight")
    expect(page.locator("#moment")).to_contain_text("step 6 of 18")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#unit")).to_have_value("4")
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_contain_text("Pause")
    expect(page.locator("#moment")).to_contain_text("step 18 of 18")
    expect(page.locator("#play")).to_contain_text("Play")


def test_a_scrub_asks_the_server_nothing(page: playwright.Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for step in range(18):
        page.locator("#step").fill(str(step))
    expect(page.locator("#moment")).to_contain_text("step 17 of 18")
    assert asked == []


def test_a_click_on_a_map_chooses_unit_and_moment_and_its_ledger(page: playwright.Page) -> None:
    field = page.locator(".field").first
    box = field.bounding_box()
    assert box is not None
    field.click(position={"x": box["width"] * 0.99, "y": box["height"] * 0.99})
    expect(page.locator("#moment")).to_contain_text("step 18 of 18")
    expect(page.locator("#unit")).to_have_value("79")
    expect(page.locator("#sum")).to_contain_text("the sum of what 19 characters wrote")
    state = re.search(r"= (−?[\d.]+),", page.locator("#sum").text_content())
    assert state is not None
    assert abs(float(state[1].replace("−", "-")) - wire(page, "c")) < 0.011


def test_equations_light_wires_and_wires_light_equations(page: playwright.Page) -> None:
    page.locator(".equation").first.hover()
    lit = page.locator(".wire.lit").evaluate_all("all => all.map(w => w.dataset.wire).sort()")
    assert lit == ["f", "h0", "x"]
    page.locator('[data-wire="h"] text').hover()
    expect(page.locator(".equation.lit")).to_have_count(1)
    expect(page.locator(".equation.lit")).to_contain_text("tanh(c")


def test_a_held_gate_changes_the_output_and_is_set_free(page: playwright.Page) -> None:
    before = page.locator("#prediction").inner_text()
    page.locator("#all").check()
    page.locator("#value").fill("0")
    expect(page.locator("#effect")).to_contain_text("with the change")
    assert wire(page, "f") == 0
    assert wire(page, "kept") == 0
    assert page.locator("#prediction").inner_text() != before
    page.locator("#release").click()
    expect(page.locator("#effect")).to_contain_text("Hold a gate")
    expect(page.locator("#prediction")).to_have_text(before, use_inner_text=True)


def test_three_networks_side_by_side(page: playwright.Page) -> None:
    expect(page.locator("#comparison article")).to_have_count(3)
    expect(page.locator("#comparison")).to_contain_text("its gradient reaches back")
    expect(page.locator("#reach path.curve")).to_have_count(6)
    page.get_by_role("button", name="GRU", exact=True).click()
    expect(page.locator(".equation")).to_have_count(4)
    expect(page.locator("#maps figure")).to_have_count(4)
    page.get_by_role("button", name="RNN", exact=True).click()
    expect(page.locator("#sum")).to_contain_text("overwrites its state")
    expect(page.locator("#effect")).to_contain_text("no gate")


def test_typing_and_passages_are_read(page: playwright.Page) -> None:
    page.locator("#text").fill("Hi!")
    expect(page.locator("#moment")).to_have_text("step 2 of 2: Hi[!]")
    page.locator("#passage").select_option("Sonnet 18")
    expect(page.locator("#moment")).to_contain_text("step 0 of 5")
    assert page.locator("#text").input_value().startswith("Shall I compare thee")


def test_the_link_carries_the_view(page: playwright.Page, address: str) -> None:
    page.locator("#value").fill("0.25")
    page.keyboard.press("Tab")
    page.click("#language")
    page.click("#theme")
    expect(page).to_have_url(re.compile("theme=dark"))
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("#moment")).to_contain_text("第 5 步")
    expect(page.locator("#held")).to_have_text("0.25")
    expect(page.locator("#unit")).to_have_value("3")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(page.locator('[data-wire="f"] .value')).to_have_text("0.25")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_barrier_and_nothing_cut(
    page: playwright.Page,
    address: str,
    page_tools: Path,
    width: int,
    language: str,
    theme: str,
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("about:blank")
    page.goto(f"{address}{START}".replace("=en", f"={language}").replace("light", theme))
    expect(page.locator(".map").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate((page_tools / "axe-core/axe.min.js").read_text())
    found = page.evaluate(
        "async () => (await axe.run()).violations.map((v) => [v.id, v.nodes[0].html])"
    )
    assert found == []
