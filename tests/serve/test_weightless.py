"""A network without weight in the median of its forecast: the page says so, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serve.conftest import FORECAST, serving, settle

from gated.serve.series_exhibit import forecasts
from gated.tasks.forecast.forecaster import Forecaster

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
Page = playwright.Page
HELD = "&gate=update_gate&value=0&all=1&span=range&first=48&last=48&step=50&theme=light"
SHUT = {"gate": "update_gate", "value": 0, "unit": None, "first": 48, "last": 48}


@pytest.fixture(scope="module")
def untrusted(
    runs: Path, weather_csv: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    forecaster = Forecaster.load(runs / "gru")
    forecaster.first_network.trust.fill_(0.0)
    directory = tmp_path_factory.mktemp("untrusted") / "gru"
    forecaster.save(directory)
    with serving([forecasts([directory], weather_csv)]) as address:
        yield address


def test_a_held_gate_moves_the_interval_alone_and_the_page_says_why(
    opened: Callable[[str], Page], untrusted: str
) -> None:
    page = opened(f"{untrusted}#language=en{HELD}")
    settle(page)
    said = page.locator("#notices p").first
    expect(said).to_contain_text("The GRU has no weight in the median of this forecast")
    expect(said).to_contain_text("used for the width of the interval")
    expect(page.locator("#effect")).to_contain_text("does not move the forecast")
    expect(page.locator("#comparison")).to_contain_text("in whose median the network has no weight")
    page.click("#language")
    expect(said).to_contain_text("在这次预测的中位数中，GRU 没有权重")
    expect(page.locator("#effect")).to_contain_text("这一改变不移动预测线")
    plain, shut = (
        page.evaluate(FORECAST, ["gru", 0, 20, held, ""])["arrays"]["forecast"]["numbers"]
        for held in (None, SHUT)
    )
    plain, shut = (np.array(of[3 * 48 :], np.float64).reshape(-1, 3) for of in (plain, shut))
    np.testing.assert_array_equal(plain[:, 1], shut[:, 1])
    assert np.abs(plain[:, 2] - shut[:, 2]).max() > 1e-4


def test_a_changed_number_does_not_either_and_is_named_with_one_colon(
    opened: Callable[[str], Page], untrusted: str
) -> None:
    page = opened(f"{untrusted}#language=zh&theme=light&step=50&edits=gru/input/0/40/50")
    settle(page)
    named = page.locator("#edits li span")
    expect(named).to_contain_text("第 40 步的输入 temp：")
    assert named.inner_text().count("：") == 1
    assert page.locator("#edits li button").get_attribute("aria-label").count("：") == 1
    expect(page.locator("#edits")).to_contain_text("这一改变不移动预测线")


def test_there_is_no_empty_plot(opened: Callable[[str], Page], untrusted: str) -> None:
    page = opened(f"{untrusted}#language=en&theme=light")
    settle(page)
    expect(page.locator("#no-reach")).to_contain_text("does not depend on anything")
    expect(page.locator("#reach")).to_be_hidden()


@pytest.mark.parametrize(
    ("language", "shut", "reach"),
    [
        ("en", "the line of the forecast does not move", "There is nothing to draw"),
        ("zh", "预测线却没有移动", "没有可画的内容"),
    ],
)
def test_the_tour_says_so_too(
    opened: Callable[[str], Page], untrusted: str, language: str, shut: str, reach: str
) -> None:
    page = opened(f"{untrusted}#language={language}&theme=light&tour=3")
    expect(page.locator("#tour .told")).to_contain_text(shut)
    page.locator("#tour button").nth(1).press("Enter")
    expect(page.locator("#tour .told")).to_contain_text(reach)


def test_so_does_a_text_of_one_character(opened: Callable[[str], Any], address: str) -> None:
    page = opened(f"{address}#text=a&language=en&theme=light")
    settle(page)
    expect(page.locator("#no-reach")).to_contain_text("depends on no step before it")
    expect(page.locator("#reach")).to_be_hidden()
    page.fill("#text", "to be or not to be")
    expect(page.locator("#reach")).to_be_visible()
    expect(page.locator("#no-reach")).to_be_hidden()
