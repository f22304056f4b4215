"""The tour speaks of what the page shows, or says that it shows something else."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from tests.serve.conftest import settle, wire

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
Page = playwright.Page
LINE_END = 45
AGAIN = "Show what this stop is about"
OWN = "A text of my own.\nIt has two lines."


def at_stop(opened: Callable[[str], Page], address: str, stop: int, language: str = "en") -> Page:
    page = opened(f"{address}#tour={stop}&language={language}&theme=light")
    settle(page)
    return page


def told(page: Page) -> str:
    """What the card shows of a stop's text."""
    settle(page)
    text = page.locator("#tour .told p").last
    return text.inner_text() if text.is_visible() else ""


def go_back(page: Page) -> None:
    page.get_by_role("button", name=AGAIN).click()
    settle(page)
    expect(page.get_by_role("button", name=AGAIN)).to_be_hidden()
    expect(page.locator("#tour .away")).not_to_contain_text("This stop is about")
    expect(page.locator("#tour h2")).to_be_focused()


def another_network(page: Page) -> None:
    page.get_by_role("button", name="GRU", exact=True).click()


def another_passage(page: Page) -> None:
    page.select_option("#passage", label="Macbeth")


def own_text(page: Page) -> None:
    page.fill("#text", OWN)


def another_unit(page: Page) -> None:
    page.fill("#unit", "3")


def a_change(page: Page) -> None:
    page.evaluate("location.hash += '&step=48&edits=lstm/bias/forget_gate/15/-2'")
    expect(page.locator("#edits")).to_be_visible()


def a_held_gate(page: Page) -> None:
    page.locator("#value").fill("0.25")


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize(
    ("leave", "about"),
    [
        (another_network, "the LSTM"),
        (another_passage, "the passage “Hamlet”"),
        (own_text, "the passage “Hamlet”"),
        (another_unit, "unit 15"),
        (a_change, "the network without changed numbers"),
        (a_held_gate, "gates that are not held"),
    ],
)
def test_figures_of_something_else_than_what_is_shown_are_left_out(
    opened: Callable[[str], Page],
    address: str,
    stop: int,
    leave: Callable[[Page], None],
    about: str,
) -> None:
    page = at_stop(opened, address, stop)
    before = told(page)
    assert re.search(r"\d", before)
    leave(page)
    expect(page.locator("#tour .away")).to_contain_text(f"This stop is about {about}")
    assert told(page) == ""
    go_back(page)
    assert told(page) == before
    expect(page.locator("#unit")).to_have_value("15")
    expect(page.locator("#held")).to_have_text("not held")


def test_what_is_here_is_said_to_be_elsewhere_when_the_moment_moves(
    opened: Callable[[str], Page], address: str
) -> None:
    page = at_stop(opened, address, 2)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tour .away")).to_contain_text(f"This stop is about step {LINE_END}.")
    assert "0.01" in told(page), "the reader is asked to step back and forth, and to compare"
    go_back(page)
    expect(page.locator("#moment")).to_contain_text(f"step {LINE_END} of")


def test_a_stop_about_a_line_holds_for_all_of_the_line(
    opened: Callable[[str], Page], address: str
) -> None:
    page = at_stop(opened, address, 1)
    page.locator("#step").fill(str(LINE_END + 41))
    settle(page)
    expect(page.locator("#tour .away")).to_be_hidden()
    page.locator("#step").fill(str(LINE_END + 42))
    expect(page.locator("#tour .away")).to_contain_text("about steps 48 to 86")


@pytest.mark.parametrize(("stop", "value"), [(4, "1.00"), (5, "0.00")])
def test_a_slider_that_is_moved_is_no_longer_what_the_stop_is_about(
    opened: Callable[[str], Page], address: str, stop: int, value: str
) -> None:
    page = at_stop(opened, address, stop)
    expect(page.locator("#tour .away")).to_be_hidden()
    page.locator("#value").fill("0.5")
    expect(page.locator("#tour .away")).to_contain_text(f"the gate held at {value}")
    go_back(page)
    expect(page.locator("#held")).to_have_text(value)


@pytest.mark.parametrize("stop", range(8))
@pytest.mark.parametrize("exhibit", ["shakespeare", "tang"])
def test_a_stop_shows_what_it_is_about(
    opened: Callable[[str], Page], address: str, exhibit: str, stop: int
) -> None:
    page = opened(f"{address}#exhibit={exhibit}&tour={stop}&language=en&theme=light")
    settle(page)
    expect(page.locator("#tour .away")).to_be_hidden()
    expect(page.get_by_role("button", name=AGAIN)).to_be_hidden()
    assert told(page)


def test_play_stops_when_a_stop_is_turned(opened: Callable[[str], Page], address: str) -> None:
    page = at_stop(opened, address, 1)
    page.click("#play")
    expect(page.locator("#moment")).to_contain_text(re.compile(r"step (49|5\d) of"))
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#play")).to_have_text("▶ Play")
    expect(page.locator("#moment")).to_contain_text(f"step {LINE_END} of")
    page.wait_for_timeout(400)  # in which it would have gone on by three steps
    expect(page.locator("#moment")).to_contain_text(f"step {LINE_END} of")
    page.click("#play")
    expect(page.locator("#tour .away")).to_contain_text(f"about step {LINE_END}.")


def test_a_text_of_the_readers_own_is_kept_and_comes_back(
    opened: Callable[[str], Page], address: str
) -> None:
    page = at_stop(opened, address, 0)
    own_text(page)
    settle(page)
    expect(page.locator("#tour .away")).to_be_hidden()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#tour .away")).to_contain_text("Your own text is kept")
    settle(page)
    assert page.input_value("#text").startswith("To be, or not to be")
    assert told(page), "the stop is about what is shown"
    page.select_option("#passage", label="your own")
    expect(page.locator("#text")).to_have_value(OWN)
    expect(page.locator("#tour .away")).to_contain_text("about the passage “Hamlet”")
    page.get_by_role("button", name=AGAIN).click()
    expect(page.locator("#tour .away")).to_contain_text("Your own text is kept")
    for _ in range(6):
        page.get_by_role("button", name="Next").click()
    expect(page.locator("#tour h2")).to_have_text("Your turn")
    expect(page.locator("#text")).to_have_value(OWN)
    expect(page.locator("#tour .away")).to_be_hidden()


def test_the_last_stop_invites_to_type_and_keeps_what_is_typed(
    opened: Callable[[str], Page], address: str
) -> None:
    page = at_stop(opened, address, 7)
    own_text(page)
    settle(page)
    expect(page.locator("#tour")).to_contain_text("Type a text of your own")
    expect(page.locator("#tour .away")).to_be_hidden()
    page.get_by_role("button", name="Back", exact=True).click()
    expect(page.locator("#text")).to_have_value(OWN)
    expect(page.locator("#tour")).to_contain_text("Here the reach is")
    expect(page.locator("#tour .away")).to_be_hidden()


@pytest.mark.parametrize("stop", range(8))
def test_the_card_stays_in_sight_when_a_phone_is_turned(
    opened: Callable[[str], Page], address: str, stop: int
) -> None:
    page = opened(f"{address}#tour={stop}&language=en&theme=light")
    sizes = [(390, 844), (844, 390), (390, 844), (1280, 800), (360, 640), (640, 360)]
    for width, height in sizes:
        page.set_viewport_size({"width": width, "height": height})
        settle(page)
        expect(page.locator("#tour")).to_be_in_viewport(ratio=1)
        below = page.evaluate("document.querySelector('.transport').getBoundingClientRect()")
        box = page.locator("#tour").bounding_box()
        over = page.evaluate(
            "([x, y]) => document.elementFromPoint(x, y).closest('#tour') !== null",
            [box["x"] + box["width"] / 2, box["y"] + 6],
        )
        assert over, (width, height, below, box)
        body = page.locator("#tour .told")
        body.evaluate("(e) => e.scrollTo(0, e.scrollHeight)")
        last = body.evaluate(
            "(e) => e.lastElementChild.getBoundingClientRect().bottom - "
            "e.getBoundingClientRect().bottom"
        )
        assert last < 2, "all of the text can be read"


def test_a_card_that_was_scrolled_away_does_not_come_back_by_itself(
    opened: Callable[[str], Page], address: str
) -> None:
    page = at_stop(opened, address, 1)
    page.evaluate("document.getElementById('train').scrollIntoView()")
    expect(page.locator("#tour")).not_to_be_in_viewport()
    settle(page)
    page.set_viewport_size({"width": 844, "height": 390})
    settle(page)
    expect(page.locator("#tour")).not_to_be_in_viewport()


def test_a_state_that_was_set_is_named_as_the_change_by_hand(
    opened: Callable[[str], Page], address: str
) -> None:
    link = "#text=To+be,+or+not+to+be&network=lstm&unit=15&language=en&theme=light"
    page = opened(f"{address}{link}&step=10&edits=lstm/cell/15/6/4")
    settle(page)
    rows = page.locator("#ledger .bars-row:visible")
    names = rows.locator(".bars-name").all_inner_texts()
    numbers = rows.locator(".bars-number").all_inner_texts()
    assert names[0] == "set by hand 6"
    assert not any("[" in name and name.endswith(" 6") for name in names)
    assert abs(float(numbers[0].replace("−", "-"))) > 1
    assert wire(page, "c") != 0
    expect(page.locator("#sum")).to_contain_text("the value set by hand after step 6")
    expect(page.locator("#sum")).to_contain_text("what 4 characters wrote since")
    page.locator("#step").fill("6")
    expect(page.locator("#sum")).to_have_text("cₜ = 4.00, the value set by hand.")
    page.click("#language")
    expect(page.locator("#sum")).to_have_text("cₜ = 4.00，是手动设定的值。")
    expect(rows.first.locator(".bars-name")).to_have_text("手动设定 6")


def test_a_place_that_there_is_not_is_named(opened: Callable[[str], Page], address: str) -> None:
    page = opened(f"{address}#at=cellar&language=en&theme=light")
    settle(page)
    expect(page.locator("#notices")).to_contain_text("Part of the page: there is no “cellar”.")
    page.goto("about:blank")
    page.goto(f"{address}#at=similar&language=en&theme=light")
    settle(page)
    expect(page.locator("#similar-title")).to_be_in_viewport()
    expect(page.locator("#notices")).to_be_hidden()


@pytest.mark.parametrize(
    ("link", "moment"),
    [("#language=zh", "天"), ("#language=zh&theme=dark", "天"), ("#language=en", "T")],
)
def test_a_link_with_a_language_alone_is_a_first_visit(
    link: str, moment: str, opened: Callable[[str], Page], address: str
) -> None:
    page = opened(address + link)
    settle(page)
    expect(page.locator("#tour")).to_have_count(1)
    opened_at = page.locator("#moment").inner_text()
    assert moment in opened_at or "风" in opened_at
    page.goto("about:blank")
    page.goto(address + link)  # not so at the second visit
    settle(page)
    expect(page.locator("#tour")).to_have_count(0)


def test_a_link_to_a_stop_opens_the_networks_of_its_language(
    opened: Callable[[str], Page], address: str
) -> None:
    for language, network in (("zh", "tang"), ("en", "shakespeare")):
        page = opened(f"{address}#tour=2&language={language}")
        settle(page)
        assert page.locator("#exhibit").input_value() == network
        page.close()


def test_the_address_is_that_of_the_page_while_it_plays(
    opened: Callable[[str], Page], address: str
) -> None:
    page = opened(f"{address}#language=en&step=3")
    settle(page)
    page.click("#play")
    page.click("#language")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page).to_have_url(re.compile("language=zh"))
    expect(page.locator("#play")).to_contain_text("暂停")
    page.reload()
    settle(page)
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("stop", "named"), [(5, "#value"), (6, "#reach")])
def test_what_a_stop_names_is_in_the_window(
    stop: int, named: str, language: str, opened: Callable[[str], Page], address: str
) -> None:
    page = opened("about:blank")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{address}#language={language}&tour={stop}")
    settle(page)
    box = page.locator(named).bounding_box()
    assert box is not None
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 800


def test_the_gates_that_keep_are_averaged(opened: Callable[[str], Page], address: str) -> None:
    page = opened(f"{address}#language=en&at=reach&exhibit=shakespeare")
    settle(page)
    text = page.locator("#text").input_value()
    means = page.evaluate(
        """async (text) => {
          const found = [];
          for (const [network, gate] of [["gru", "update_gate"], ["lstm", "forget_gate"]]) {
            const { arrays } = await gated.reading("shakespeare", network, text);
            const { numbers, width, steps } = arrays[gate];
            const means = [...Array(width).keys()].map((unit) => {
              let sum = 0;
              for (let step = 0; step < steps; step++) sum += numbers[step * width + unit];
              return sum / steps;
            });
            found.push(Math.max(...means));
          }
          return found;
        }""",
        text,
    )
    told = f"this gate is on average {means[0]:.2f} in the GRU and {means[1]:.2f} in the LSTM."
    expect(page.locator("#shrinks")).to_contain_text(told)


def test_a_place_that_is_no_whole_number_changes_nothing(
    opened: Callable[[str], Page], address: str
) -> None:
    page = opened(f"{address}#language=en&unit=7&exhibit=shakespeare")
    settle(page)
    unit = page.locator("#unit")
    unit.fill("1.5")
    expect(page.locator("#notices")).to_contain_text("there is no “1.5”")
    expect(page.locator("#notices")).to_contain_text("The page shows: 7.")
    unit.fill("")
    unit.press("Enter")
    expect(unit).to_have_value("7")
    expect(page.locator("#notices")).to_be_hidden()


def test_what_is_not_there_has_no_dash_for_it(opened: Callable[[str], Page], address: str) -> None:
    page = opened(f"{address}#language=en&box=zzz&at=zzz&exhibit=shakespeare")
    settle(page)
    expect(page.locator("#notices")).to_contain_text("Opened gate: there is no “zzz”.")
    assert "–." not in page.locator("#notices").inner_text()
    assert "The page shows" not in page.locator("#notices").inner_text()


def test_whoever_releases_a_gate_by_the_keys_goes_on_from_there(
    opened: Callable[[str], Page], address: str
) -> None:
    page = opened(f"{address}#language=en&exhibit=shakespeare&value=0.5")
    settle(page)
    page.locator("#release").press("Enter")
    expect(page.locator("#value")).to_be_focused()
    expect(page.locator("#release")).to_be_disabled()
