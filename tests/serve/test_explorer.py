"""The explorer in a real browser: every action, an empty console, and no barrier."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.serve.conftest import number, settle, wire

from gated.explain import ledger
from gated.serve.character_model import CharacterModel

playwright = pytest.importorskip("playwright.sync_api")

START = "#text=To+be,+or+not+to+be&network=lstm&step=5&unit=3&language=en&theme=light"

expect = playwright.expect


@pytest.fixture
def page(opened: Callable[[str], playwright.Page], address: str) -> playwright.Page:
    """The page at `START`."""
    page = opened(address + START)
    expect(page.locator("#moment")).to_have_text("step 5 of 18: To be[,]")
    return page


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


def test_keys_mean_the_same_on_the_slider_of_time(page: playwright.Page) -> None:
    slider = page.locator("#step")
    slider.click(position={"x": 2, "y": 5})
    expect(page.locator("#moment")).to_contain_text("step 0 of 18")
    expect(slider).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#moment")).to_contain_text("step 1 of 18")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#unit")).to_have_value("4")
    expect(page.locator("#moment")).to_contain_text("step 1 of 18")
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_contain_text("Pause")
    expect(page.locator("#moment")).to_contain_text("step 18 of 18")


def test_keys_go_on_after_the_mouse(page: playwright.Page) -> None:
    page.locator("#all").click()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#moment")).to_contain_text("step 6 of 18")
    page.keyboard.press("Space")
    expect(page.locator("#all")).not_to_be_checked()
    page.click("#back")
    page.keyboard.press("Space")
    expect(page.locator("#moment")).to_contain_text("step 18 of 18")


def test_a_scrub_asks_the_server_nothing(page: playwright.Page) -> None:
    settle(page)
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
    assert abs(number(state[1]) - wire(page, "c")) < 0.011


READ = {"h0", "hx", "x"}
READ_BY_GRU = {"h0", "units", "x"}
WIRES = {
    "LSTM": [
        {"f"} | READ,
        {"i"} | READ,
        {"g"} | READ,
        {"c", "f", "c0", "i", "g", "kept", "written"},
        {"o"} | READ,
        {"h", "o", "c", "tanh"},
    ],
    "GRU": [
        {"r"} | READ_BY_GRU,
        {"z"} | READ_BY_GRU,
        {"n", "r", "u", "seen"} | READ_BY_GRU,
        {"h", "z", "h0", "kept", "rest", "n", "written"},
    ],
    "RNN": [{"h"} | READ],
}
"""What stands in each equation of a cell."""


@pytest.mark.parametrize("cell", WIRES)
def test_equations_light_wires_and_wires_light_equations(page: playwright.Page, cell: str) -> None:
    page.get_by_role("button", name=cell, exact=True).click()
    equations = WIRES[cell]
    expect(page.locator(".equation")).to_have_count(len(equations))
    for place, wires in enumerate(equations):
        page.locator(".equation").nth(place).hover()
        lit = page.locator(".wire.lit").evaluate_all("all => all.map(w => w.dataset.wire)")
        assert set(lit) == wires
        expect(page.locator(".equation.lit")).to_have_count(1)
    drawn = page.locator(".wire").evaluate_all("all => all.map(w => w.dataset.wire)")
    assert set(drawn) == set().union(*equations)
    for name in drawn:
        page.locator(f'[data-wire="{name}"] .symbol').hover()
        lit = page.locator(".equation").evaluate_all(
            "all => all.map((e) => e.classList.contains('lit'))"
        )
        assert lit == [name in wires for wires in equations], name


def test_a_held_gate_changes_the_output_and_is_set_free(page: playwright.Page) -> None:
    settle(page)
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


def test_a_gate_is_held_from_a_moment_on_or_for_a_range(page: playwright.Page) -> None:
    page.locator("#value").fill("0")
    page.locator("#span").select_option("from one step on")
    expect(page.locator("#first")).to_have_value("5")
    expect(page.locator("#last")).to_be_hidden()
    forgotten = page.locator('[data-wire="f"] .value')
    expect(forgotten).to_have_text("0.00")
    page.click("#back")
    expect(forgotten).not_to_have_text("0.00")
    page.locator("#span").select_option("from one step to another")
    expect(page.locator("#first")).to_have_value("4")
    page.locator("#last").fill("4")
    expect(forgotten).to_have_text("0.00")
    page.click("#forward")
    expect(forgotten).not_to_have_text("0.00")
    expect(page).to_have_url(re.compile("span=range&first=4&last=4"))
    page.locator("#first").fill("5")
    expect(forgotten).to_have_text("0.00")


def test_the_ledger_is_that_of_the_library(
    page: playwright.Page, models: list[CharacterModel]
) -> None:
    model = next(model for model in models if model.name == "lstm")
    lstm = torch.nn.LSTM(len(model.vocabulary), model.units)
    for name, weight in zip(
        ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), model.weights[:4], strict=True
    ):
        getattr(lstm, f"{name}_l0").data = torch.from_numpy(np.array(weight))
    x = torch.from_numpy(model.one_hot(model.encode("To be, or not to be")))
    written = ledger(lstm, x, unit=3, step=18).written
    page.keyboard.press("End")
    expect(page.locator("#moment")).to_contain_text("step 18 of 18")
    settle(page)
    rows = page.locator("#ledger .bars-row:visible").all_inner_texts()
    assert len(rows) > 2
    for row in rows:
        name, part = row.rsplit("\n", 1)
        step = int(name.split()[-1])
        assert abs(number(part) - written[step]) < 0.0051, row
    largest = max(rows, key=lambda row: abs(number(row.rsplit("\n", 1)[1])))
    assert int(largest.rsplit("\n", 1)[0].split()[-1]) == np.abs(written).argmax()


def test_a_long_text_is_averaged_not_sampled(
    opened: Callable[[str], playwright.Page], address: str
) -> None:
    """A picture has no more columns than pixels."""
    page = opened(f"{address}#text={'a+bc' * 500}&network=gru&language=en&theme=light")
    expect(page.locator("#moment")).to_contain_text("of 1999")
    settle(page)
    columns, pixels = page.locator(".field").first.evaluate(
        "field => [field.firstChild.width, field.clientWidth]"
    )
    assert columns == pixels


def test_three_networks_side_by_side(page: playwright.Page) -> None:
    expect(page.locator("#comparison article")).to_have_count(3)
    expect(page.locator("#comparison")).to_contain_text("its gradient reaches back")
    expect(page.locator("#reach path.curve")).to_have_count(6)
    page.get_by_role("button", name="GRU", exact=True).click()
    expect(page.locator(".equation")).to_have_count(4)
    expect(page.locator("#maps figure")).to_have_count(4)
    page.get_by_role("button", name="RNN", exact=True).click()
    expect(page.locator("#sum")).to_contain_text("computes its state anew")
    expect(page.locator("#effect")).to_contain_text("no gate")


def test_a_gradient_that_has_vanished_is_not_drawn(
    opened: Callable[[str], playwright.Page], address: str
) -> None:
    page = opened(f"{address}#language=en&theme=light")
    settle(page)
    ends = page.locator("#reach path.curve").evaluate_all(
        "all => all.map((curve) => curve.getBBox()).map((box) => [box.x + box.width, box.height])"
    )
    (rnn, deep), (lstm, _) = ends[0], ends[4]  # each curve, and the line of its legend
    assert rnn < lstm / 2
    assert deep > 150, "it falls almost to the foot of the picture"


def test_what_is_nothing_has_no_sign(
    opened: Callable[[str], playwright.Page], address: str
) -> None:
    page = opened(f"{address}#network=lstm&step=80&unit=15&language=en&theme=light")
    assert wire(page, "c0") == 0
    expect(page.locator('[data-wire="c0"] .value')).to_have_text("0.00")


def test_typing_and_passages_are_read(page: playwright.Page) -> None:
    page.locator("#text").fill("Hi!")
    expect(page.locator("#moment")).to_have_text("step 2 of 2: Hi[!]")
    page.locator("#passage").select_option("Sonnet 18")
    expect(page.locator("#moment")).to_contain_text("step 0 of 5")
    assert page.locator("#text").input_value().startswith("Shall I compare thee")


def test_chinese_characters_have_room(page: playwright.Page) -> None:
    page.locator("#text").fill("你好 ok")
    expect(page.locator("#moment")).to_contain_text("of 4")
    settle(page)
    strip = page.locator("#strip")
    for x, named in ((30, "step 1 of 4: 你[好]"), (16, "step 0 of 4: [你]"), (50, "[o]")):
        strip.click(position={"x": x, "y": 10})
        expect(page.locator("#moment")).to_contain_text(named)


def notices(page: playwright.Page) -> list[str]:
    settle(page)
    return page.locator("#notices p").all_inner_texts()


def test_characters_that_a_network_does_not_know_are_told_of(page: playwright.Page) -> None:
    assert notices(page) == []
    page.locator("#text").fill("你好，你 ok")
    expect(page.locator("#moment")).to_contain_text("of 6")
    for name in ("RNN", "GRU", "LSTM"):
        page.get_by_role("button", name=name, exact=True).click()
        (told,) = notices(page)
        assert told.startswith(
            f"The {name} does not know 4 of the 7 characters of this text: 你 好 ，."
        )
        assert "means nothing" in told
    for facts in page.locator("#comparison article p:first-of-type").all_inner_texts():
        assert facts.endswith("4 characters of this text are unknown to this network.")
    page.locator("#step").fill("0")
    expect(page.locator('[data-wire="x"] .value')).to_have_text("你 → other")
    page.click("#language")
    assert notices(page)[0].startswith("这段文本共 7 个字符，LSTM 不认识其中 4 个：你 好 ，。")
    page.locator("#text").fill("known")
    expect(page.locator("#moment")).to_contain_text("/ 4 步")
    assert notices(page) == []


def test_a_text_that_is_cut_is_said_to_be(page: playwright.Page) -> None:
    page.locator("#text").fill("a\U0001f600" * 2600)
    settle(page)
    cut, unknown = notices(page)
    assert (
        cut
        == "The text has 5,200 characters. The network reads the first 5,000; the rest is left out."
    )
    assert "does not know 2500 of the 5000" in unknown
    expect(page.locator("#moment")).to_contain_text("of 4999")
    assert page.locator("#text").evaluate("field => [...field.value].length") == 5000
    page.locator("#text").fill("a")
    expect(page.locator("#moment")).to_contain_text("of 0")
    assert notices(page) == []


def test_a_link_says_what_there_is_not(
    opened: Callable[[str], playwright.Page], address: str
) -> None:
    link = (
        "#text=To+be&network=foo&unit=200&step=99&gate=door&value=2&span=never&tour=12"
        "&theme=blue&speed=3&language=en"
    )
    page = opened(address + link)
    told = "\n".join(notices(page))
    for words in (
        "Network: there is no “foo”. Possible: rnn, gru, lstm. The page shows: lstm.",
        "Unit: there is no “200”. Possible: 0 – 79. The page shows: 79.",
        "Step: there is no “99”. Possible: 0 – 4. The page shows: 4.",
        "Gate: there is no “door”. Possible: input_gate, forget_gate, output_gate.",
        "Value of the gate: there is no “2”. Possible: 0 – 1.",
        "when: there is no “never”. Possible: all, on, range. The page shows: all.",
        "Guided tour, stop: there is no “12”. Possible: 0 – 7. The page shows: 7.",
        "Colours: there is no “blue”. Possible: light, dark.",
        "This page does not know “speed” in the link.",
    ):
        assert words in told
    assert len(told.splitlines()) == 9
    page.click("#language")
    assert "网络：没有“foo”。可以是：rnn、gru、lstm。现在显示：lstm。" in notices(page)
    page.evaluate(f"location.hash = '{START}'")
    expect(page.locator("#moment")).to_have_text("step 5 of 18: To be[,]")
    assert notices(page) == []


def test_a_unit_that_there_is_not_and_odd_ranges_are_told_of(page: playwright.Page) -> None:
    page.locator("#unit").fill("200")
    expect(page.locator("#unit")).to_have_value("79")
    assert notices(page) == ["Unit: there is no “200”. Possible: 0 – 79. The page shows: 79."]
    page.locator("#unit").fill("3")
    assert notices(page) == []
    page.locator("#value").fill("0")
    page.locator("#span").select_option("from one step to another")
    assert notices(page) == []
    page.locator("#last").fill("40")
    assert notices(page) == ["There is no step 40: the gate is held up to the last step, 18."]
    page.locator("#last").fill("2")
    assert notices(page) == [
        "The range ends at step 2, before it begins: the gate is held at step 5 only."
    ]
    expect(page.locator('[data-wire="f"] .value')).to_have_text("0.00")
    page.locator("#first").fill("30")
    assert notices(page) == [
        "The gate is held at no step: the range begins at step 30, after the last step, 18."
    ]
    page.locator("#release").click()
    assert notices(page) == []


def test_a_single_character_is_told_of_as_one(page: playwright.Page) -> None:
    page.locator("#text").fill("a")
    expect(page.locator("#moment")).to_have_text("step 0 of 0: [a]")
    expect(page.locator("#sum")).to_contain_text("what the first character wrote")
    page.locator("#value").fill("0")
    expect(page.locator("#effect")).to_have_text("Marks show the predictions without the change.")
    expect(page.locator("#comparison")).to_contain_text("80 units; the text is too short")


def test_the_link_carries_the_view(page: playwright.Page, address: str) -> None:
    page.locator("#value").fill("0.25")
    page.keyboard.press("Tab")
    page.click("#language")
    page.click("#theme")
    expect(page).to_have_url(re.compile("theme=dark"))
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("#moment")).to_contain_text("第 5 / 18 步")
    expect(page.locator("#held")).to_have_text("0.25")
    expect(page.locator("#unit")).to_have_value("3")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(page.locator('[data-wire="f"] .value')).to_have_text("0.25")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_barrier_and_nothing_cut(
    address: str, looks_right: Callable[[str, int], None], width: int, language: str, theme: str
) -> None:
    link = START.replace("=en", f"={language}").replace("light", theme)
    looks_right(f"{address}{link}&tour=0&box=forget_gate&story=3", width)


def test_a_gate_is_opened_and_its_parts_add_up(
    page: playwright.Page, models: list[CharacterModel]
) -> None:
    model = next(model for model in models if model.name == "lstm")
    settle(page)
    equation = page.locator(".equation").first
    expect(equation).to_have_attribute("aria-expanded", "false")
    equation.press("Enter")
    expect(equation).to_have_attribute("aria-expanded", "true")
    expect(page).to_have_url(re.compile("box=forget_gate"))
    names = page.locator("#box .bars-row:visible .bars-name").all_inner_texts()
    values = page.locator("#box .bars-row:visible .bars-number").all_inner_texts()
    *parts, total, result = [number(value) for value in values]
    assert names[0].strip() == "character ,"
    row = model.units + 3  # the forget gate of unit 3
    character = model.encode(",")[0]
    weight_ih = model.weights.weight_ih[row, character]
    assert parts[0] == pytest.approx(weight_ih, abs=0.0051)
    bias = model.weights.bias_ih[row] + model.weights.bias_hh[row]
    assert parts[-1] == pytest.approx(bias, abs=0.0051)
    assert sum(parts) == pytest.approx(total, abs=0.05)
    assert 1 / (1 + np.exp(-total)) == pytest.approx(result, abs=0.01)
    assert result == wire(page, "f")
    named = re.search(r"h of unit (\d+):", names[1])
    assert named is not None
    weight = model.weights.weight_hh[row, int(named[1])]
    shown = page.locator("#box .bars-row").nth(1).locator(".number").nth(1).input_value()
    assert number(shown) == pytest.approx(weight, abs=0.0051)
    page.click("#close-box")
    expect(page.locator("#box")).to_be_hidden()
    page.locator(".operation.gate").nth(3).click()
    expect(page.locator("#box h3")).to_contain_text("Output gate o: why it is")


def test_an_open_gate_says_what_it_does_in_figures_of_the_moment(page: playwright.Page) -> None:
    shown = {
        "RNN": {"h": ()},
        "GRU": {"z": ("z", "h0", "rest", "n", "h"), "r": (), "n": ("rest", "n", "written")},
        "LSTM": {
            "f": ("f", "c0", "kept"),
            "i": ("i", "g", "written"),
            "g": ("i", "g", "written"),
            "o": ("o", "c", "h"),
        },
    }
    for network, gates in shown.items():
        page.get_by_role("button", name=network, exact=True).click()
        settle(page)
        for place, (gate, wires) in enumerate(gates.items()):
            page.locator(".operation.gate").nth(place).click()
            expect(page.locator("#box h3")).to_contain_text(
                f" {wire(page, gate):.2f}".replace("-", "−")
            )
            figures = page.locator("#box p").first.inner_text().partition("Here: ")[2]
            found = [number(figure) for figure in re.findall(r"−?\d+\.\d\d", figures)]
            assert found == [wire(page, name) for name in wires], (network, gate)


def test_a_box_of_another_cell_takes_its_reset_into_account(page: playwright.Page) -> None:
    page.get_by_role("button", name="GRU", exact=True).click()
    page.locator(".equation").nth(2).click()
    expect(page.locator("#box p.hint").first).to_contain_text("multiplied by rₜ = ")
    total, result = [
        number(value)
        for value in page.locator("#box .bars-row:visible .bars-number").all_inner_texts()[-2:]
    ]
    assert np.tanh(total) == pytest.approx(result, abs=0.01)
    page.get_by_role("button", name="RNN", exact=True).click()
    expect(page.locator("#box")).to_be_hidden()


def test_a_held_gate_says_so_when_it_is_opened(page: playwright.Page) -> None:
    page.locator(".equation").first.click()
    page.locator("#value").fill("0.25")
    expect(page.locator("#box p.hint").first).to_contain_text("The gate is held at 0.25.")
    expect(page.locator("#box .bars-row:visible").last).to_contain_text("held at")


def test_the_line_stays_in_sight_and_chooses_a_step(page: playwright.Page) -> None:
    settle(page)
    keys = page.locator(".curve-key").all_inner_texts()
    assert keys == [
        f"{symbol} {page.locator(f'[data-wire={name}] .value').text_content()}"
        for symbol, name in (("cₜ", "c"), ("fₜ", "f"), ("iₜ", "i"))
    ]
    page.locator("#reach").scroll_into_view_if_needed()
    expect(page.locator("#ribbon")).to_be_in_viewport(ratio=1)
    page.locator("#ribbon").click(position={"x": 13 * 7 + 6, "y": 10})
    expect(page.locator("#moment")).to_contain_text("step 7 of 18")


def test_one_unit_of_large_values_does_not_make_the_others_pale(page: playwright.Page) -> None:
    page.locator("#passage").select_option("Hamlet")
    settle(page)
    scale = page.locator(".map", has_text="Cell state").locator("figcaption").inner_text()
    largest = page.evaluate(
        """async () => {
          const text = document.getElementById("text").value;
          const { arrays } = await gated.reading("shakespeare", "lstm", text);
          return Math.max(...arrays.cell.numbers.map(Math.abs));
        }"""
    )
    assert number(re.search(r"≥ \+([\d.]+)", scale)[1]) < largest / 2


def test_the_moment_is_read_out_when_it_rests(page: playwright.Page) -> None:
    page.click("#forward")
    spoken = page.locator("#spoken")
    expect(spoken).to_contain_text("step 6 of 18: o be,[␣]. Unit 3: cₜ ")
    expect(spoken).to_contain_text("Next: ")
    expect(page.locator("#step")).to_have_attribute("aria-valuetext", "step 6 of 18: o be,[␣]")
    page.locator("#value").fill("0.25")
    expect(page.locator("#value")).to_have_attribute("aria-valuetext", "Forget gate f 0.25")
    expect(page.locator("#diagram")).to_have_attribute("aria-label", re.compile("fₜ 0.25"))


def test_the_line_of_text_is_drawn_anew_in_a_window_of_another_size(page: playwright.Page) -> None:
    settle(page)
    for width in (1280, 500, 900):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            """() => {
              const { width, clientWidth } = document.querySelector("#ribbon");
              return Math.abs(width - clientWidth * devicePixelRatio) < 2;
            }"""
        )
