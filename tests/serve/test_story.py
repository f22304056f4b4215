"""The story in one picture: its stations, what moves between them, and the cell that it ends in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.serve.conftest import settle

from gated.report.diagrams.style import DARK, LIGHT, ROLES

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
Page = playwright.Page
COLOURS = Path(__file__).parents[2] / "web" / "explorer" / "src" / "colours.ts"
VIEW = "language=en&theme=light&network=lstm&step=45&unit=15"
NETWORK = {"inputs", "hiddens", "outputs"}
PARTS = [
    {"sheet-0", "sheet-1", "sheet-2", "weights", "units", "step-0", "step-1", "step-2"}
    | {"layer-x", "layer-h", "layer-y"},
    NETWORK | {"recurrence", "weight-W", "weight-V", "weight-loop"},
    NETWORK
    | {"recurrence", "time-links", "weight-W", "weight-V", "weight-U0", "weight-U1"}
    | {"time"},
    NETWORK
    | {"recurrence", "time-links", "memories", "memory-chain", "links"}
    | {"memory-plane", "network-plane", "memory-name", "network-name"},
    {"hiddens", "memories", "memory-plane", "operations", "symbols"}
    | {"line-forget", "line-add", "line-read"},
    {"operations", "symbols", "gate-0", "gate-1", "gate-2", "gate-3"},
    {"operations", "symbols"},
]
"""Of each station, all that is in sight but the wires."""
WIRES = [
    set(),
    set(),
    set(),
    {"c0", "kept", "f", "i", "g", "written", "o"},
    {"x", "h0", "hx", "c0", "kept", "f", "i", "g", "written", "o", "c", "h"},
    {"x", "h0", "hx", "c0", "kept", "f", "i", "g", "written", "o", "c", "h", "tanh"},
    {"x", "h0", "hx", "c0", "kept", "f", "i", "g", "written", "o", "c", "h", "tanh"},
]
"""Of each station, the wires of the cell; of the third, they lie on the lines of the chains."""


@pytest.fixture
def page(opened: Callable[[str], Page], address: str) -> Page:
    page = opened(f"{address}#story=0&{VIEW}")
    settle(page)
    return page


def at(page: Page, t: float) -> None:
    page.locator("#story-time").evaluate(
        "(slider, t) => { slider.value = t; slider.dispatchEvent(new Event('input')); }", t
    )


JUMPS = """() => {
  const captions = { time: "", network: "", memory: "", forget: "", add: "", read: "" };
  const at = (t) => gated.pictureAt(t, "light", { ...captions, gates: ["", "", "", ""] });
  const numbers = (mark) => [mark.path ?? "", mark.at ?? "", mark.half ?? ""].join(" ")
    .match(/-?[\\d.]+/g)?.map(Number) ?? [];
  const found = [];
  let before = at(0);
  for (let step = 1; step <= 600; step++) {
    const now = at(step / 100);
    if (now.map((m) => m.id).join() !== before.map((m) => m.id).join()) found.push(step);
    now.forEach((mark, k) => {
      const old = before[k];
      if (Math.abs(mark.opacity - old.opacity) > 0.2) found.push([step, mark.id, "opacity"]);
      if (mark.opacity < 0.05 || old.opacity < 0.05 || mark.kind === "head") return;
      const [here, there] = [numbers(mark), numbers(old)];
      if (here.length !== there.length) found.push([step, mark.id, "points"]);
      if (here.some((x, axis) => Math.abs(x - there[axis]) > 15)) found.push([step, mark.id]);
    });
    before = now;
  }
  return found;
}"""
"""What moves too far, or comes and goes too quickly, in a hundredth of the way between stations."""


def test_each_station_has_its_parts_and_nothing_jumps_between_them(page: Page) -> None:
    titles = set()
    for station, (parts, wires) in enumerate(zip(PARTS, WIRES, strict=True)):
        at(page, station)
        seen = page.locator(".mark").evaluate_all(
            "all => all.filter((m) => m.getAttribute('display') !== 'none' "
            "&& Number(m.getAttribute('opacity')) > 0.5).map((m) => m.dataset.part)"
        )
        assert set(seen) == parts | {f"wire-{name}" for name in wires}, station
        expect(page.locator("#story-place")).to_have_text(f"Station {station + 1} of 7")
        title = page.locator("#story-station").inner_text()
        expect(page.locator("#story-picture")).to_have_attribute("aria-label", title)
        titles.add(title)
        assert 2 <= page.locator("#story-told").inner_text().count(". ") + 1 <= 6
    assert len(titles) == 7
    assert page.evaluate(JUMPS) == []
    at(page, 3.4)
    there = page.locator("#story-picture").inner_html()
    at(page, 6)
    assert page.locator("#story-picture").inner_html() != there
    at(page, 3.4)
    assert page.locator("#story-picture").inner_html() == there, "a function of the time alone"
    page.click("#language")
    expect(page.locator("#story-station")).to_have_text("第二条链")
    expect(page.locator("#story-place")).to_have_text("第 4 站，共 7 站")


def test_the_last_station_is_the_cell_of_the_page(page: Page) -> None:
    page.locator("#story-time").fill("6")
    expect(page).to_have_url(re.compile("story=6$"))
    for _ in range(2):
        settle(page)
        cell = page.locator(".wire").evaluate_all(
            "all => all.map((w) => [w.dataset.wire, w.querySelector('.value').textContent,"
            " w.querySelector('.line').getAttribute('stroke-width'),"
            " w.querySelector('.line').getTotalLength().toFixed(1)])"
        )
        told = page.evaluate(
            "names => names.map((name) => {"
            "const lines = [...document.querySelectorAll(`path[data-part='wire-${name}'].line`)];"
            "const whole = lines.reduce((sum, line) => sum + line.getTotalLength(), 0);"
            "const value = document.querySelector(`[data-mark='symbol-${name}'] .value`);"
            "return [name, value.textContent, lines[0].getAttribute('stroke-width'),"
            " whole.toFixed(1)]; })",
            [name for name, *_ in cell],
        )
        assert [row[:2] + row[3:] for row in told] == [row[:2] + row[3:] for row in cell]
        assert [float(row[2]) for row in told] == [float(row[2]) for row in cell]
        page.click("#forward")
    page.click("#story-to-cell")
    expect(page.locator("#cell-title")).to_be_focused()
    expect(page.locator("#diagram")).to_be_in_viewport()


def test_keys_and_slider_move_the_story_and_not_the_moment(page: Page) -> None:
    slider = page.locator("#story-time")
    moment = page.locator("#moment").inner_text()
    page.locator("#story-play").press("Home")
    slider.press("ArrowRight")
    expect(slider).to_have_js_property("value", "1")
    expect(page.locator("#story-place")).to_have_text("Station 2 of 7")
    expect(page).to_have_url(re.compile("story=1$"))
    slider.fill("4.1")
    expect(page).to_have_url(re.compile("story=4.1$"))
    page.locator("#story-back").click()
    expect(slider).to_have_js_property("value", "4")
    slider.fill("4.45")
    page.locator("#story-play").press("Enter")
    expect(page.locator("#story-play")).to_contain_text("Pause")
    expect(page.locator("#story-place")).to_have_text("Station 6 of 7")
    page.locator("#story-play").press("Enter")
    expect(page.locator("#story-play")).to_contain_text("Play")
    assert page.locator("#moment").inner_text() == moment
    page.click("#story-toggle")
    expect(page.locator("#story-body")).to_be_hidden()
    expect(page).not_to_have_url(re.compile("story="))


def test_who_wants_no_motion_gets_none(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    slider = page.locator("#story-time")
    expect(slider).to_have_attribute("step", "1")
    moved = page.evaluate(
        "() => { const story = document.querySelector('#story');"
        "const slider = document.querySelector('#story-time');"
        "return ['ArrowRight', 'ArrowRight', 'ArrowLeft', 'End'].map((key) => {"
        "story.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));"
        "return slider.value; }); }"
    )
    assert moved == ["1", "2", "1", "6"], "no time between the stations"


def test_a_link_asks_for_a_time_that_there_is_not(
    opened: Callable[[str], Page], address: str
) -> None:
    page = opened(f"{address}#story=9&{VIEW}")
    expect(page.locator("#notices")).to_contain_text("Time of the story: there is no “9”")
    expect(page.locator("#story-place")).to_have_text("Station 7 of 7")


def test_a_link_that_names_no_text_shows_one_in_its_language(
    opened: Callable[[str], Page], address: str
) -> None:
    page = opened(f"{address}#story=6&language=zh")
    expect(page.locator("#text")).to_have_value(re.compile("[\u4e00-\u9fff]"))


def test_page_story_and_reports_share_their_colours() -> None:
    source = COLOURS.read_text("utf-8")
    for theme, colours in (("light", LIGHT), ("dark", DARK)):
        found = re.search(rf"{theme}: \{{ (blue.*?) \}}", source)
        assert found is not None
        hues = dict(re.findall(r'(\w+): "(#\w+)"', found[1]))
        assert hues == {name: colours[name] for name in hues}
    found = re.search(r"const ROLES = \{ (.*?) \}", source)
    assert found is not None
    roles = dict(re.findall(r'(\w+): "(\w+)"', found[1]))
    assert set(roles) >= {"keep", "write", "candidate", "read", "cell", "hidden"}
    assert roles == {role: ROLES[role] for role in roles}
