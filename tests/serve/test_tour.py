"""Ten minutes as a student: the tour of the explorer, and whether what it says is so."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from tests.serve.conftest import number, settle, wire

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
Page = playwright.Page
LINE_END = 45
"""Of the first line of the passage, "…that is the question:--"."""


def bits(page: Page) -> tuple[float, float]:
    """Plain and changed."""
    expect(page.locator("#effect")).to_contain_text("with the change")
    settle(page)
    found = re.findall(r"\d+\.\d+", page.locator("#effect").inner_text())
    return float(found[0]), float(found[1])


def onward(page: Page, title: str) -> None:
    page.get_by_role("button", name="Next").press("Enter")
    expect(page.locator("#tour h2")).to_have_text(title)
    expect(page.locator("#tour h2")).to_be_focused()
    expect(page.locator("#tour")).to_be_in_viewport(ratio=1)
    settle(page)


def at_step(page: Page, step: int) -> None:
    expect(page.locator("#moment")).to_contain_text(f"step {step} of")
    settle(page)


def test_a_student_walks_from_the_first_character_to_the_forget_gate(
    opened: Callable[[str], Page], address: str
) -> None:
    page = opened(address)
    expect(page.locator("#tour h2")).to_have_text("It reads, and guesses")
    at_step(page, 0)

    onward(page, "One unit of memory")
    at_step(page, LINE_END + 3)
    assert -1.9 < wire(page, "c") < -1.5
    page.keyboard.press("Space")
    expect(page.locator("#moment")).to_contain_text(re.compile(r"step [78]\d of"))
    page.keyboard.press("Space")
    assert wire(page, "c") > -0.8, "the count climbs"

    onward(page, "The forget gate")
    at_step(page, LINE_END)
    assert wire(page, "f") < 0.05
    assert abs(wire(page, "kept")) < 0.05 < 1 < abs(wire(page, "c0"))
    assert page.locator(".wire.lit").evaluate_all("all => all.map(w => w.dataset.wire)") == [
        "f",
        "kept",
    ]
    page.keyboard.press("ArrowLeft")
    at_step(page, LINE_END - 1)
    assert wire(page, "f") > 0.6

    onward(page, "Who wrote the memory")
    at_step(page, LINE_END + 41)
    rows = page.locator("#ledger .bars-row:visible .bars-name").all_inner_texts()
    assert min(int(row.split()[-1]) for row in rows) == LINE_END, "nothing from before is left"

    onward(page, "What if it had not forgotten?")
    expect(page.locator("#span")).to_have_value("range")
    assert bits(page)[1] > bits(page)[0]
    first = page.locator("#prediction .bars-row").first
    expect(first.locator(".bars-name")).to_have_text("↵")
    mark = first.locator(".bars-mark").get_attribute("style")
    assert mark is not None
    without = number(re.search(r"translateX\(([\d.]+)%", mark)[1])
    assert number(first.locator(".bars-number").text_content()) > 60 > 20 > without

    onward(page, "Always forget")
    expect(page.locator("#effect")).to_contain_text("3.74 with the change")
    plain, always = bits(page)
    assert always > plain + 1
    expect(page.locator("#ledger .bars-row:visible")).to_have_count(1)
    page.locator("#value").fill("1")
    expect(page.locator("#effect")).to_contain_text("9.70 with the change")
    assert bits(page)[1] > always, "never to forget is worse still"

    onward(page, "Three networks")
    reaches = [
        int(text)
        for text in re.findall(
            r"reaches back (?:at least )?(\d+)", page.locator("#comparison").inner_text()
        )
    ]
    assert len(reaches) == 3
    assert reaches[0] < reaches[1] < reaches[2]

    onward(page, "Your turn")
    expect(page.locator("#effect")).to_contain_text("Hold a gate")
    expect(page.get_by_role("button", name="Next")).to_be_hidden()
    page.get_by_role("button", name="End the tour").press("Enter")
    expect(page.locator("#tour")).to_have_count(0)
    expect(page.locator("#guide")).to_be_focused()


def test_the_tour_ends_for_good_and_begins_again_when_asked(
    opened: Callable[[str], Page], address: str
) -> None:
    page = opened(address)
    page.get_by_role("button", name="Next").press("Escape")
    expect(page.locator("#tour")).to_have_count(0)
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator("#moment")).to_contain_text("step 40")
    expect(page.locator("#tour")).to_have_count(0)
    page.locator("#guide").press("Enter")
    expect(page.locator("#tour h2")).to_have_text("It reads, and guesses")
    page.get_by_role("button", name="Next").click()
    page.click("#language")
    expect(page.locator("#tour h2")).to_have_text("记忆的一个神经元")
    page.get_by_role("button", name="上一站").click()
    expect(page.locator("#tour h2")).to_have_text("阅读，并猜测")


def test_a_link_leads_to_a_stop(opened: Callable[[str], Page], address: str) -> None:
    page = opened(address)
    for _ in range(4):
        page.get_by_role("button", name="Next").click()
    expect(page).to_have_url(re.compile("tour=4"))
    again = opened(page.url)
    expect(again.locator("#tour h2")).to_have_text("What if it had not forgotten?")
    expect(again.locator("#effect")).to_contain_text("with the change")
    at_step(again, LINE_END)
