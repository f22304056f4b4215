"""A forecaster in the explorer, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.serve.conftest import number, serving, settle, wire

from gated.cli.explore import _exhibits
from gated.serve.static_page import write_page

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
Page = playwright.Page
START = "#series=1&moment=20&network=lstm+1&step=50&unit=3&language=en&theme=light"


@pytest.fixture(scope="module")
def series_address(runs: Path) -> Iterator[str]:
    """Of a server, which has nothing to compute."""
    with serving(_exhibits(runs, None)) as place:
        yield place


@pytest.fixture
def page(opened: Callable[[str], Page], series_address: str) -> Page:
    page = opened(series_address + START)
    expect(page.locator("#moment")).to_have_text("step 50 of 59: 2013-12-26 22:00, forecast")
    return page


def figure(page: Page, name: str) -> float:
    settle(page)
    return number(page.locator(f'#prediction dt:text-is("{name}") + dd').inner_text())


def test_a_forecast_with_its_interval_beside_what_came(page: Page) -> None:
    low, high = figure(page, "10 % quantile"), figure(page, "90 % quantile")
    assert low < figure(page, "forecast") < high
    assert 10 < figure(page, "temp, observed") < 70
    page.click("#language")
    expect(page.locator("#prediction")).to_contain_text("temp，实际值")
    page.click("#language")
    page.locator("#step").fill("47")
    expect(page.locator("#moment")).to_contain_text("19:00, history")
    expect(page.locator("#prediction dt")).to_have_count(1)
    assert abs(wire(page, "kept") + wire(page, "written") - wire(page, "c")) < 0.011


def test_a_scrub_asks_nothing_and_play_moves_on(page: Page) -> None:
    settle(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for step in range(0, 60, 7):
        page.locator("#step").fill(str(step))
    expect(page.locator("#moment")).to_contain_text("step 56 of 59")
    page.locator("h1").click()
    page.keyboard.press("Space")
    expect(page.locator("#moment")).to_contain_text("step 59 of 59")
    assert asked == []


def test_another_moment_and_another_series(page: Page) -> None:
    page.locator("#origin").fill("44")
    expect(page.locator("#moment")).to_contain_text("2013-12-27 22:00, forecast")
    expect(page.locator("#from")).to_have_text("2013-12-27 19:00")
    before = figure(page, "temp, observed")
    page.locator("#series").select_option("LGA")
    expect(page).to_have_url(re.compile("series=2&moment=44"))
    expect(page.locator("#prediction dd").first).not_to_have_text(str(before))


def test_a_click_on_the_chart_chooses_the_moment(page: Page) -> None:
    box = page.locator("#strip").bounding_box()
    assert box is not None
    page.locator("#strip").click(position={"x": box["width"] - 12, "y": 60})
    expect(page.locator("#moment")).to_contain_text("step 59 of 59")
    page.locator("#strip").click(position={"x": 10, "y": 60})
    expect(page.locator("#moment")).to_contain_text("step 0 of 59")


def test_the_ledger_names_times(page: Page) -> None:
    settle(page)
    rows = page.locator("#ledger .bars-row:visible .bars-name").all_inner_texts()
    assert rows
    assert all(re.fullmatch(r"2013-12-2\d \d\d:00", row) for row in rows)
    expect(page.locator("#sum")).to_contain_text("the sum of what 51 steps wrote")


def test_history_is_forgotten_where_the_forecast_begins(page: Page) -> None:
    plain = figure(page, "forecast")
    page.locator("#step").fill("48")
    page.locator("#all").check()
    page.locator("#value").fill("0")
    page.locator("#span").select_option("from one step to another")
    page.locator("#last").fill("48")
    expect(page.locator('[data-wire="f"] .value')).to_have_text("0.00")
    page.locator("#step").fill("50")
    assert figure(page, "forecast without the change") == plain
    assert figure(page, "forecast") != plain
    expect(page.locator("#effect")).to_contain_text("with the change")
    assert wire(page, "f") > 0
    page.locator("#release").click()
    expect(page.locator("#prediction dt")).to_have_count(4)
    assert figure(page, "forecast") == plain


def test_networks_and_layers_side_by_side(page: Page) -> None:
    expect(page.locator("#comparison article")).to_have_count(3)
    expect(page.locator("#comparison")).to_contain_text("its forecast depends on")
    expect(page.locator("#reach path.curve")).to_have_count(4)
    page.get_by_role("button", name="GRU", exact=True).click()
    expect(page.locator(".equation")).to_have_count(4)
    expect(page).to_have_url(re.compile("network=gru"))


def test_the_tour_of_a_forecast(page: Page) -> None:
    page.click("#guide")
    titles = []
    while True:
        titles.append(page.locator("#tour h2").inner_text())
        if titles[-1] == "Forget the history":
            expect(page.locator("#effect")).to_contain_text("with the change")
            # At this step, not at the one before or after, the gate is seen shut.
            expect(page.locator("#moment")).to_contain_text("step 48")
            assert wire(page, "f") == 0
            told = page.locator("#tour .told").inner_text()
            moved, changed, plain = map(float, re.findall(r"\d+\.\d+", told))
            assert moved > 0
            effect = page.locator("#effect").inner_text()
            assert f"is {plain:.2f}, with the change {changed:.2f}" in effect
        if titles[-1] == "What the forecast starts from":
            expect(page.locator("#tour .told")).to_contain_text("the values 24 steps before")
            expect(page.locator("#tour .told")).to_contain_text("the continuation by smoothing")
        if titles[-1] == "What is left of the history":
            expect(page.locator("#tour .told")).to_contain_text("6 steps into the forecast")
            expect(page.locator("#moment")).to_contain_text("step 54")
            told = page.locator("#tour .told").inner_text()
            unit = re.search(r"what unit (\d+) remembers", told)
            assert unit is not None
            expect(page.locator("#unit")).to_have_value(unit[1])
            stated = re.search(r"written at ([-\d: ]+), (\d+) steps? before the forecast", told)
            assert stated is not None, "something of the history is left in that unit"
            rows = page.locator("#ledger .bars-row:visible .bars-name").all_inner_texts()
            assert rows[0] < "2013-12-26 20:00", "and the list shows it"
        if not page.get_by_role("button", name="Next").is_visible():
            break
        page.get_by_role("button", name="Next").click()
    assert titles == [
        "The network reads the past and forecasts",
        "What the forecast starts from",
        "What is left of the history",
        "Forget the history",
        "How far the network looks back",
        "Your turn",
    ]


def rows(page: Page) -> dict[str, float]:
    """The bars of the opened gate."""
    settle(page)
    visible = page.locator("#box .bars-row:visible")
    names = visible.locator(".bars-name").all_inner_texts()
    values = visible.locator(".bars-number").all_inner_texts()
    return dict(zip([name.split("\n")[0] for name in names], map(number, values), strict=True))


@pytest.mark.parametrize(
    ("step", "part", "known"),
    [
        (30, "encoder", ("temp", "humid", "sine of the day")),
        (50, "decoder", ("temp by smoothing",)),
    ],
)
def test_a_gate_is_opened_and_its_parts_add_up(
    page: Page, step: int, part: str, known: tuple[str, ...]
) -> None:
    page.locator("#step").fill(str(step))
    page.locator(".equation").first.press("Enter")
    expect(page.locator(".equation").first).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#box p.hint").first).to_contain_text(f"in the {part}, which")
    parts = rows(page)
    assert {*known, "which series", "level of temp", "bias"} <= {name.rstrip(":") for name in parts}
    *summed, total, result = parts.values()
    assert sum(summed) == pytest.approx(total, abs=0.005 * len(parts))
    assert 1 / (1 + np.exp(-total)) == pytest.approx(result, abs=0.01)
    assert result == wire(page, "f")
    if part == "encoder":
        field = page.get_by_label("temp at step 30", exact=True)
        assert number(field.input_value()) == figure(page, "temp, observed")


def test_a_second_layer_reads_the_first(page: Page) -> None:
    page.get_by_role("button", name="LSTM 2", exact=True).click()
    page.locator(".equation").first.click()
    parts = rows(page)
    *summed, total, _ = parts.values()
    assert sum(summed) == pytest.approx(total, abs=0.005 * len(parts))
    assert "the other 14 inputs" in parts
    below = page.locator("#box .number").first
    expect(below).to_have_attribute(
        "aria-label", re.compile(r"h of unit \d+ after step 50 \(layer 1\)")
    )
    plain = figure(page, "forecast")
    below.fill("0.9")
    below.press("Enter")
    expect(page.locator("#edits li span")).to_contain_text("after step 50 (layer 1): ")
    assert figure(page, "forecast") != plain
    assert figure(page, "forecast without the change") == plain
    page.get_by_role("button", name="LSTM 1", exact=True).click()
    expect(page.locator("#edits li")).to_have_count(1)


def test_numbers_are_changed_and_taken_back(page: Page) -> None:
    page.locator("#step").fill("47")
    page.locator(".equation").first.click()
    page.locator("#step").fill("50")
    plain, shut = figure(page, "forecast"), wire(page, "f")
    name = "Forget gate f of unit 3, bias (decoder, layer 1)"
    bias = page.get_by_label(name, exact=True)
    bias.fill("-20")
    bias.press("Enter")
    assert wire(page, "f") == 0 < shut
    page.locator("#step").fill("47")
    assert wire(page, "f") > 0, "the encoder has a bias of its own"
    temp = page.get_by_label("temp at step 47", exact=True)
    old = temp.input_value()
    temp.press("ArrowUp")
    expect(page.locator("#edits li")).to_have_count(2)
    expect(page.locator("#edits li span").last).to_contain_text(f"temp at step 47: {old} → ")
    assert number(temp.input_value()) == pytest.approx(number(old) + 1)
    expect(temp).to_have_class(re.compile("edited"))
    expect(page).to_have_url(re.compile(r"edits=lstm\+1%2Fbias%2Fdecoder%2Fforget_gate%2F3%2F-20"))
    temp.fill("1e10")
    temp.press("Enter")
    expect(page.locator("#refused")).to_contain_text("1e10 ")
    expect(page.locator("#effect")).to_contain_text("with the change")
    page.locator("#edits li button").first.click()
    expect(page.locator("#edits li")).to_have_count(1)
    page.locator("#take-all-back").press("Enter")
    expect(page.locator("#edits")).to_be_hidden()
    page.locator("#step").fill("50")
    assert figure(page, "forecast") == plain


def test_edits_of_a_link_that_cannot_be_are_told_of(
    opened: Callable[[str], Page], series_address: str
) -> None:
    series = "lstm 1/input/0/99/1;lstm 2/input/0/3/1;lstm 1/bias/forget_gate/3/1;gru/cell/0/1/1"
    page = opened(f"{series_address}{START}&edits={series};lstm 2/hidden/3/40/0.5")
    settle(page)
    told = page.locator("#notices p").all_inner_texts()
    assert told[0].endswith(": lstm 2/hidden/3/40/0.5.")
    assert "network/input/column/step/number" in told[0]
    assert "network/bias/part/gate/unit/number" in told[0]


def choose(page: Page, folder: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click("#open")
    chooser.value.set_files(folder)


def test_a_folder_with_the_written_page_is_opened_and_one_without_series_told_of(
    opened: Callable[[str], Page], address: str, runs: Path, tmp_path: Path
) -> None:
    write_page(tmp_path / "weather", _exhibits(runs / "gru", None))
    page = opened(f"{address}#text=dog&language=en&theme=light")
    settle(page)
    choose(page, runs)
    said = "Run “gated explore runs0 --out page” in the directory that holds the run"
    expect(page.locator("#problem")).to_contain_text(said.replace("runs0", runs.name))
    choose(page, tmp_path / "weather")
    expect(page.locator("#about")).to_contain_text("reads the past of temp step by step")
    expect(page.locator("#moment")).to_contain_text("step 48 of 59: 2013-12-28 06:00, forecast")
    expect(page.locator("#problem")).to_be_hidden()
    figure(page, "forecast")


def test_no_number_of_a_gate_is_cut(opened: Callable[[str], Page], series_address: str) -> None:
    page = opened(f"{series_address}{START}&box=forget_gate")
    settle(page)
    fields = page.locator("#box input:visible")
    shown = fields.evaluate_all("fields => fields.map((field) => field.value)")
    assert max(map(len, shown)) > 5
    cut = "fields => fields.filter((of) => of.scrollWidth > of.clientWidth).map((of) => of.value)"
    assert fields.evaluate_all(cut) == []


@pytest.mark.parametrize(
    ("width", "language", "theme"), [(1280, "en", "light"), (390, "zh", "dark")]
)
def test_no_barrier_and_nothing_cut(
    series_address: str,
    looks_right: Callable[[str, int], None],
    width: int,
    language: str,
    theme: str,
) -> None:
    link = START.replace("=en", f"={language}").replace("light", theme)
    edits = "lstm 1/input/0/50/60;lstm 1/weight/decoder/forget_gate/3/5/1.5;lstm 1/cell/3/49/1"
    looks_right(f"{series_address}{link}&box=forget_gate&edits={edits}", width)
