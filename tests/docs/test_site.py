"""The site that `make docs` has built: links, anchors, names, and nothing from another host."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from web.site.public_names import reference

SITE = Path(__file__).resolve().parents[2] / "build" / "site"
LANGUAGES = ("en", "zh")
LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}


class Document(HTMLParser):
    """What a page links to, loads, and can be linked at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given.get("id", ""), given.get("name", "")}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given and given.get("rel") not in ("canonical",):
            self.loads.append(given[LOADED[tag]])


@pytest.fixture(scope="module")
def pages() -> dict[Path, Document]:
    if not (SITE / "zh" / "index.html").exists():
        told = "needs the site: run `make docs`"
        assert os.environ.get("GATED_TESTS") != "all", told
        pytest.skip(told)
    return {
        page: Document(page.read_text(encoding="utf-8"))
        for page in SITE.rglob("*.html")
        if page.name != "404.html"  # is served from anywhere: its links are absolute
    }


def test_every_link_leads_somewhere(pages: dict[Path, Document]) -> None:
    lost = []
    for page, document in pages.items():
        for link in [*document.links, *document.loads]:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            to = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            to = to / "index.html" if to.is_dir() else to
            anchor = unquote(parts.fragment)
            # What has a "=" is a view of the explorer.
            there = to.exists() and (
                not anchor
                or to.suffix != ".html"
                or anchor in pages[to].ids
                or anchor == "__"
                or "=" in anchor
            )
            if not there:
                lost.append(f"{page.relative_to(SITE)}: {link}")
    assert len(pages) > 60
    assert lost == []


def test_nothing_is_loaded_from_another_host(pages: dict[Path, Document]) -> None:
    far = {load for page in pages.values() for load in page.loads if urlsplit(load).netloc}
    assert far == set()


def test_each_page_has_its_twin(pages: dict[Path, Document]) -> None:
    english, chinese = (
        {page.relative_to(SITE / language) for page in pages if (SITE / language) in page.parents}
        for language in LANGUAGES
    )
    assert english == chinese
    for page in english:
        (link,) = (link for link in pages[SITE / "en" / page].links if link.endswith(f"zh/{page}"))
        assert (SITE / "en" / page).parent.joinpath(link).resolve() == SITE / "zh" / page


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_public_name_has_its_place(language: str, pages: dict[Path, Document]) -> None:
    for page in reference():
        ids = pages[SITE / language / "reference" / f"{page['file']}.html"].ids
        names = [f"{module}.{name}" for module, of in page["modules"].items() for name in of]
        assert sorted(set(names) - ids) == []


@pytest.mark.parametrize(
    ("language", "word"), [("en", "forget gate"), ("zh", "遗忘"), ("zh", "LSTM")]
)
def test_search_finds_the_words_of_the_language(
    language: str, word: str, pages: dict[Path, Document]
) -> None:
    script = (SITE / language / "search" / "search_index.js").read_text(encoding="utf-8")
    index = json.loads(script.removeprefix("var __index = "))
    assert index["config"]["lang"] == [language]
    if language == "zh":  # words are set apart, so that they are found inside sentences
        assert any("\u200b遗忘" in document["text"] for document in index["docs"])
    assert sum(word in document["text"] for document in index["docs"]) > 5


def test_equations_are_drawn_by_the_browser(pages: dict[Path, Document]) -> None:
    text = (SITE / "en" / "lstm.html").read_text(encoding="utf-8")
    source = (SITE.parents[1] / "docs" / "en" / "lstm.md").read_text(encoding="utf-8")
    assert text.count("<math ") == source.count("$$") // 2 > 10
    aligned = (SITE / "en" / "layers.html").read_text(encoding="utf-8")
    assert re.search("<mtable.*?</mtable>", aligned, re.DOTALL)
    assert "<mi>&" not in aligned.replace("<mi>&#", "")  # a sign that was not understood
    assert "arithmatex" not in text
    assert "$$" not in text
