"""Pictures of the explorer in the docs: `python -m web.explorer.docs_pictures [--forecaster RUN]`.

Opens today's page as files in Chromium and writes `docs/images/explorer*.png`, in few colours, so
that they stay small. The picture of a forecast is of `RUN`, the network that docs/en/explorer.md
describes; without it that picture stays.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from web.explorer.screens import settle

from gated.cli.explore import _exhibits
from gated.serve.static_page import write_page
from gated.serve.text_exhibit import bundled_texts

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
COLOURS = 256
FORECAST = "series=0&moment=324&network=lstm&step=72&unit=1"


def draw(page: Page, address: str, height: int, name: str, part: str | None = None) -> None:
    """Write a picture of a view, or of a part of it."""
    page.set_viewport_size({"width": 1280, "height": height})
    page.goto("about:blank")
    page.goto(f"{address}&theme=light")
    settle(page)
    of = page.locator(part) if part else page
    picture = Image.open(io.BytesIO(of.screenshot(animations="disabled"))).convert("RGB")
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
    few.save(IMAGES / name, optimize=True)


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(prog="python -m web.explorer.docs_pictures")
    parser.add_argument("--forecaster", type=Path, help="a run of `gated fit forecast`")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = chromium.new_page(locale="en-GB", color_scheme="light", reduced_motion="reduce")
        files = Path(made) / "texts"
        write_page(files, bundled_texts())
        place = (files / "index.html").as_uri()
        for language, ending, height in (("en", "", 1020), ("zh", "_zh", 975)):
            shakespeare = f"{place}#language={language}&exhibit=shakespeare"
            draw(page, f"{shakespeare}&tour=2", height, f"explorer{ending}.png")
            draw(page, f"{shakespeare}&story=3", 900, f"explorer_story{ending}.png", "#story")
        if asked.forecaster:
            files = Path(made) / "forecaster"
            write_page(files, _exhibits(asked.forecaster, None))
            forecast = f"{(files / 'index.html').as_uri()}#language=en&{FORECAST}"
            draw(page, forecast, 1180, "explorer_series.png")
        chromium.close()


if __name__ == "__main__":
    main()
