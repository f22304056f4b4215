"""A second text beside the first, and moments that are like one another."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.serve.conftest import number, settle
from tests.serve.numpy_reader import TextReader
from tests.serve.reading import Passage

from gated.serve.character_model import CharacterModel

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

FIRST, SECOND = "To be, or not to be", "To be, or nothing, he"
START = "#text=To+be,+or+not+to+be&network=lstm&step=5&unit=3&language=en&theme=light"
LINES = "To be, or not to be\nTo be, or not to be\nThe rest is silence\nTo be, or not to be"


@pytest.fixture
def lstm(models: list[CharacterModel]) -> TextReader:
    return TextReader(next(model for model in models if model.name == "lstm"))


def bits(reader: TextReader, text: str, first: int) -> float:
    """The mean over the characters from `first` on, in bits."""
    odds = reader.read(Passage(text), None).outputs["probabilities"]
    places = reader.model.encode(text)
    steps = np.arange(first - 1, len(text) - 1)
    return float(-np.log2(odds[steps, places[steps + 1]]).mean())


def test_a_second_text_is_compared_from_where_it_parts(
    opened: Callable[[str], Any], address: str, lstm: TextReader
) -> None:
    page = opened(address + START)
    settle(page)
    expect(page.locator(".lane").first).to_be_hidden()
    page.click("#copy-first")
    told = page.locator("#second [role=status]")
    expect(told).to_have_text("Both texts are the same. Change a word of the second.")
    expect(page.locator("#other")).to_be_focused()
    expect(page.locator("#other")).to_have_value(FIRST)
    page.locator("#other").fill(SECOND)
    expect(told).to_contain_text(
        "The texts differ from step 13 on: ␣ in the first, h in the second."
    )
    settle(page)
    numbers = [float(found) for found in re.findall(r"\d+\.\d\d", told.inner_text())]
    whole = [bits(lstm, text, 1) for text in (FIRST, SECOND)]
    after = [bits(lstm, text, 13) for text in (FIRST, SECOND)]
    assert numbers == pytest.approx([*whole, abs(whole[1] - whole[0]), *after], abs=0.0051)
    expect(told).to_contain_text("more." if whole[1] > whole[0] else "less.")
    expected = [lstm.read(Passage(text), None).values for text in (FIRST, SECOND)]
    for step in (12, 14):
        page.locator("#step").fill(str(step))
        settle(page)
        for lane, values in zip(page.locator(".lane-curves").all(), expected, strict=True):
            shown = [number(key.split()[1]) for key in lane.locator("span").all_inner_texts()]
            gates = [values[name][step, 3] for name in ("cell", "forget_gate", "input_gate")]
            assert shown == pytest.approx(gates, abs=0.0051)
    page.locator("#text").fill("To")
    expect(told).to_contain_text("differ from step 2 on: the end in the first, ␣ in the second.")
    page.locator("#other").fill("你")
    expect(told).to_contain_text("1 character of the second text is unknown to the network.")
    expect(page).to_have_url(re.compile("other=%E4%BD%A0"))
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("#other")).to_have_value("你")
    expect(page.locator(".lane")).to_have_count(2)
    page.click("#drop-second")
    expect(page.locator(".lane").first).to_be_hidden()
    expect(told).to_be_empty()


def test_a_second_text_is_cut_as_the_first_is(opened: Callable[[str], Any], address: str) -> None:
    page = opened(address + START.replace("lstm", "rnn"))
    page.locator("#other").fill("ab" * 2501)
    expect(page.locator("#second [role=status]")).to_contain_text("The text has 5,002 characters")


def test_moments_of_like_states_are_found(
    opened: Callable[[str], Any], address: str, lstm: TextReader
) -> None:
    page = opened(address + START)
    page.locator("#text").fill(LINES)
    settle(page)
    page.locator("#step").fill("27")
    settle(page)
    page.click("#find-similar")
    rows = page.locator("#similar li")
    expect(rows).to_have_count(6)
    expect(page.locator("#similar [role=status]")).to_contain_text("The moments most like step 27")
    values = lstm.read(Passage(LINES), None).values
    states = np.concatenate([values["hidden"], values["cell"]], axis=1)
    lengths = np.linalg.norm(states, axis=1)
    cosines = states @ states[27] / lengths / lengths[27]
    expected: list[int] = []
    for step in np.argsort(-cosines):
        if all(abs(step - other) > 5 for other in [27, *expected]):
            expected.append(int(step))
    shown = [re.search(r"step (\d+)", text)[1] for text in rows.all_inner_texts()]
    assert [int(step) for step in shown] == [*expected[:5], 27]
    first = rows.first
    expect(first).to_contain_text(f"cosine {cosines[expected[0]]:.3f}")
    expect(first).to_contain_text(f"[{LINES[expected[0]]}]")
    first.locator("button").press("Enter")
    expect(page.locator("#moment")).to_contain_text(f"step {expected[0]} of {len(LINES) - 1}")
    expect(first.locator("button")).to_be_focused()
    rows.last.locator("button").click()
    expect(page.locator("#moment")).to_contain_text("step 27 of")
    page.locator("#text").fill("Hi")
    expect(rows).to_have_count(0)
    settle(page)
    page.click("#find-similar")
    expect(page.locator("#similar [role=status]")).to_contain_text("has no step")


@pytest.mark.parametrize(
    ("language", "theme", "width"), [("zh", "light", 390), ("en", "dark", 1280)]
)
def test_no_barrier_in_a_second_text(
    address: str, looks_right: Callable[[str, int], None], language: str, theme: str, width: int
) -> None:
    link = START.replace("=en", f"={language}").replace("light", theme)
    looks_right(f"{address}{link}&other=To+be,+or+nothing", width)
