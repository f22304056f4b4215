"""Texts that are hard to show one character at a time, and a field without any."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.serve.conftest import settle

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
Page = playwright.Page
FAMILY = "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
ACCENT = "e\N{COMBINING ACUTE ACCENT}"


def test_an_emptied_field_says_what_to_do(opened: Callable[[str], Page], address: str) -> None:
    page = opened(f"{address}#text=To+be&language=en&theme=light")
    settle(page)
    page.fill("#text", "")
    expect(page.locator("#notices")).to_contain_text("The field is empty. Type a text")
    page.click("#language")
    expect(page.locator("#notices")).to_be_hidden()  # left, the field has the text again
    expect(page.locator("#text")).to_have_value("To be")
    page.fill("#text", "")
    expect(page.locator("#notices")).to_contain_text("文本框是空的")
    page.fill("#text", "To be")
    expect(page.locator("#notices")).to_be_hidden()


def test_signs_of_several_characters_are_counted_and_shown(
    opened: Callable[[str], Page], address: str
) -> None:
    page = opened(f"{address}#text=x&language=en&theme=light")
    settle(page)
    page.fill("#text", f"{ACCENT} {FAMILY} سلام")
    notices = page.locator("#notices")
    expect(notices).to_contain_text("2 signs of this text")
    expect(notices).to_contain_text("are read as 5 characters")
    expect(notices).to_contain_text("does not know 8 of the 11 characters")
    expect(notices).to_contain_text("◌\N{COMBINING ACUTE ACCENT}")
    expect(notices).to_contain_text("U+200D")
    expect(notices).to_contain_text("written from right to left")
    page.locator("#step").fill("1")
    expect(page.locator("#moment")).to_contain_text("◌\N{COMBINING ACUTE ACCENT}]")
    page.click("#language")
    expect(notices).to_contain_text("2 个符号")
    expect(notices).to_contain_text("从右向左书写")
    page.fill("#text", "To be")
    expect(notices).to_be_hidden()
