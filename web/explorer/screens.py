"""Pictures of every state of the explorer: `python -m web.explorer.screens DIRECTORY`.

Opens a page as files in Chromium, goes through its states in both languages and both themes, at
three widths, and writes `STATE-LANGUAGE-THEME-WIDTH.png`. Prints a JSON line for each picture in
which something is wider than the window, or a text is cut or lies on another one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from playwright.sync_api import Page, expect, sync_playwright

from gated.serve.static_page import write_page
from gated.serve.text_exhibit import bundled_texts

WIDTHS = (1920, 1280, 390)
VERSE = "But soft, what light through yonder window breaks?\nIt is the east, and Juliet is the sun."
OTHER = VERSE.replace("window", "willow")
CHINESE = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。"
SIGNS = "Cafe\u0301 \N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL} سلام"
STORY_TIMES = (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6)
SHOWN = "(({ lang, dataset }) => [lang.slice(0, 2), dataset.theme])(document.documentElement)"
FAULTS = (Path(__file__).parent / "faults.js").read_text("utf-8")


class State(NamedTuple):
    """What the page is asked to show, and the part of it that is drawn (all if none is named)."""

    name: str
    link: str
    part: str = ""
    do: Callable[[Page], None] | None = None


def train(page: Page) -> None:
    """Let the networks learn a little."""
    page.locator("#length").fill("8")
    page.click("#learn")
    page.wait_for_timeout(2_500)
    page.click("#learn")


def similar(page: Page) -> None:
    """Look for moments like this one."""
    page.locator("#similar button").first.click()


def wrong_number(page: Page) -> None:
    """Type what is no number."""
    field = page.locator("#box input").first
    field.fill("many")
    field.press("Enter")


def emptied(page: Page) -> None:
    """Delete the text."""
    page.locator("#text").fill("")


def folder(description: dict[str, Any] | None) -> Callable[[Page], None]:
    """Open the folder of a run with this description and no weights."""

    def opens(page: Page) -> None:
        with tempfile.TemporaryDirectory() as made:
            run = Path(made) / "run"
            run.mkdir()
            (run / "model.json").write_text(json.dumps({"description": description}), "utf-8")
            with page.expect_file_chooser() as chooser:
                page.click("#open")
            chooser.value.set_files(run)
            expect(page.locator("#problem")).to_be_visible()

    return opens


def states(exhibits: list[dict[str, Any]]) -> Iterator[State]:
    """Yield the states of a page with these exhibits."""
    yield State("welcome", "")
    for exhibit in exhibits:
        here = f"#exhibit={quote(exhibit['name'])}"
        text = exhibit["kind"] == "text"
        reads = (
            f"{here}&text={quote(CHINESE if exhibit.get('language') == 'zh' else VERSE)}&step=18"
            if text
            else here
        )
        # The tour has as many stops as the page says.
        for stop in range(8 if exhibit.get("guide") else 5 if not text else 3):
            yield State(f"{exhibit['name']}-tour{stop}", f"{here}&tour={stop}", "window")
        for network in exhibit["networks"]:
            name = f"{exhibit['name']}-{network['name']}".replace(" ", "_")
            link = f"{reads}&network={quote(network['name'])}"
            yield State(name, link)
            for gate in network["gates"] if text else []:
                yield State(f"{name}-box-{gate}", f"{link}&box={gate}", "section:has(> #box)")
            for gate in network["clampable"][:2]:
                held = f"{link}&gate={gate}&value=0&all=1&span=range&first=5&last=20"
                yield State(f"{name}-held-{gate}", held, ".columns")
    first = exhibits[0]
    if first["kind"] == "text" and first.get("guide"):
        yield from text_states(first)


def text_states(exhibit: dict[str, Any]) -> Iterator[State]:
    """Yield what only networks over characters have."""
    lstm = f"#exhibit={exhibit['name']}&text={quote(VERSE)}&network=lstm&step=50&unit=15"
    edits = "lstm/bias/forget_gate/15/-2;lstm/cell/15/40/1.5"
    cell = "section:has(> #box)"
    yield State("edited", f"{lstm}&box=forget_gate&edits={edits}", cell)
    yield State("edit-refused", f"{lstm}&box=forget_gate", cell, wrong_number)
    yield State("second", f"{lstm}&other={quote(OTHER)}", "#second")
    yield State("second-same", f"{lstm}&other={quote(VERSE)}", "#second")
    yield State("similar", lstm, "#similar", similar)
    yield State("unknown", f"#exhibit={exhibit['name']}&text={quote(CHINESE)}", "window")
    yield State("signs", f"#exhibit={exhibit['name']}&text={quote(SIGNS)}&step=5", "window")
    yield State("emptied", lstm, "window", emptied)
    yield State("one-character", f"#exhibit={exhibit['name']}&text=a", "section:has(> #reach)")
    yield State("cut", f"#text={'to be or not to be ' * 300}", "window")
    yield State("odd-link", "#network=cnn&unit=999&step=9999&box=door&colour=red&value=7", "window")
    yield State(
        "odd-range", f"{lstm}&gate=forget_gate&value=0&span=range&first=20&last=10", "window"
    )
    for problem in ("recall", "adding", "brackets"):

        def learn(page: Page, problem: str = problem) -> None:
            page.locator("#problem-choice").select_option(problem)
            train(page)

        yield State(f"training-{problem}", lstm, "#train", learn)
    for time in STORY_TIMES:
        yield State(f"story-{time}", f"{lstm}&story={time}", "#story")
    yield State("open-forecaster", lstm, "window", folder({"task": "forecast"}))
    yield State("open-no-weights", lstm, "window", folder({"task": "characters"}))
    yield State("open-damaged", lstm, "window", folder(None))
    yield State("open-regress", lstm, "window", folder({"task": "regress", "config": {}}))


def draw(page: Page, state: State, path: Path) -> None:
    """Write the picture of a state."""
    if state.part == "window":
        page.screenshot(path=path, animations="disabled")
    elif state.part:
        page.locator(state.part).screenshot(path=path, animations="disabled")
    else:
        page.screenshot(path=path, full_page=True, animations="disabled")


def settle(page: Page) -> None:
    """Wait until the page shows what it was asked for."""
    expect(page.locator("body[aria-busy=false]")).to_be_attached(timeout=60_000)
    page.evaluate(
        "() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
    )


def visit(page: Page, place: str, state: State, into: Path) -> None:
    """Draw a state in all languages, themes and widths."""
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    page.goto("about:blank")
    page.goto(place + state.link)
    settle(page)
    if state.do:
        state.do(page)
        settle(page)
    for _ in range(2):
        for _ in range(2):
            language, theme = page.evaluate(SHOWN)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                page.wait_for_function(f"innerWidth === {width}")
                settle(page)
                name = f"{state.name}-{language}-{theme}-{width}"
                draw(page, state, into / f"{name}.png")
                if faults := page.evaluate(FAULTS):
                    print(
                        json.dumps({"state": name, "faults": faults}, ensure_ascii=False),
                        flush=True,
                    )
            page.evaluate(
                "document.querySelector('#theme').click()"
            )  # where the page is scrolled to stays
        page.evaluate("document.querySelector('#language').click()")


def main() -> None:
    """Draw the states whose names begin as asked."""
    parser = argparse.ArgumentParser(prog="python -m web.explorer.screens")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--page", type=Path, help="written by `gated explore --out`; else today's")
    parser.add_argument("--only", nargs="*", default=[""], help="beginnings of names of states")
    asked = parser.parse_args()
    asked.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, sync_playwright() as driver:
        files = asked.page or Path(made)
        if asked.page is None:
            write_page(files, bundled_texts())
        chromium = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = chromium.new_page(locale="en-GB", color_scheme="light")
        page.on("pageerror", lambda error: print(json.dumps({"error": str(error)}), flush=True))
        place = (files / "index.html").resolve().as_uri()
        page.goto(place + "#step=1")
        exhibits = page.evaluate("window.gatedExhibits.map((e) => ({ ...e }))")
        for state in states(exhibits):
            if state.name.startswith(tuple(asked.only)):
                visit(page, place, state, asked.directory)
        chromium.close()


if __name__ == "__main__":
    main()
