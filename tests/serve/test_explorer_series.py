"""A forecaster in the explorer, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

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
            told = page.locator("#tour p").inner_text()
            moved, changed, plain = map(float, re.findall(r"\d+\.\d+", told))
            assert moved > 0
            effect = page.locator("#effect").inner_text()
            assert f"is {plain:.2f}, with the change {changed:.2f}" in effect
        if titles[-1] == "What the forecast starts from":
            expect(page.locator("#tour p")).to_contain_text("the values 24 steps before")
            expect(page.locator("#tour p")).to_contain_text("the continuation by smoothing")
        if titles[-1] == "What is left of the history":
            expect(page.locator("#tour p")).to_contain_text("6 steps into the forecast")
            expect(page.locator("#moment")).to_contain_text("step 54")
            told = page.locator("#tour p").inner_text()
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
    looks_right(f"{series_address}{link}", width)
