"""How long the explorer takes to show another step: `python -m benchmarks.redraw`.

Moves the slider through the first passage in Chromium, and prints a JSON line for each language:
milliseconds of script, style and layout a step, by the browser's own counters.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.machine import described
from gated.serve.static_page import write_page
from gated.serve.text_exhibit import bundled_texts

COUNTERS = {"ScriptDuration", "LayoutDuration", "RecalcStyleDuration"}
MOVE = """step => {
  const slider = document.querySelector("#step");
  slider.value = step;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  return new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
}"""
LEAST = 400
"""Moves to measure at least; a short passage is gone through again."""


def main() -> None:
    """Print a line for each language."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redraw")
    parser.add_argument("--page", type=Path, help="written by `gated explore --out`; else today's")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, sync_playwright() as driver:
        place = asked.page or Path(made)
        if asked.page is None:
            write_page(place, bundled_texts())
        chromium = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for locale in ("en-GB", "zh-CN"):
            page = chromium.new_page(viewport={"width": 1280, "height": 900}, locale=locale)
            page.goto((place / "index.html").resolve().as_uri())
            page.wait_for_timeout(6_000)  # all three networks have read, with their gradients
            print(json.dumps({"machine": described(1), "locale": locale, **redraws(page)}))
        chromium.close()


def redraws(page: Page) -> dict[str, Any]:
    """Return how long moves of the slider take."""
    counters = page.context.new_cdp_session(page)
    counters.send("Performance.enable")

    def spent() -> float:
        found = counters.send("Performance.getMetrics")["metrics"]
        return float(sum(of["value"] for of in found if of["name"] in COUNTERS))

    last = int(page.evaluate("Number(document.querySelector('#step').max)"))
    took = []
    for step in [*range(last)] * -(-LEAST // last):
        before = spent()
        page.evaluate(MOVE, step)
        took.append(1e3 * (spent() - before))
    of = statistics.quantiles(took, n=100)
    return {
        "moves": len(took),
        "milliseconds": round(statistics.median(took), 1),
        "p95": round(of[94], 1),
        "p99": round(of[98], 1),
    }


if __name__ == "__main__":
    main()
