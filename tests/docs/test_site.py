"""The site that `make docs` has built: links, anchors, names, and nothing from another host."""

import json
import os
import re
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
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


def barriers(page: Any, page_tools: Path) -> list[Any]:
    """What axe finds on a page, but for what frames show."""
    page.evaluate((page_tools / "axe-core" / "axe.min.js").read_text())
    found: list[Any] = page.evaluate(
        "async () => (await axe.run({ iframes: false })).violations"
        ".map((v) => [v.id, v.nodes[0].html])"
    )
    return found


@pytest.fixture(scope="module")
def address(pages: dict[Path, Document]) -> Iterator[str]:
    """Where the site is served, in a folder of its host, as its own page for what is not found."""

    class Handler(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return str(SITE) + urlsplit(path).path.removeprefix("/folder")

        def send_error(
            self, code: int, message: str | None = None, explain: str | None = None
        ) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write((SITE / "404.html").read_bytes())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/folder/"
        server.shutdown()


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


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_not_found_has_a_page_that_loads_nothing(
    language: str, pages: dict[Path, Document]
) -> None:
    text = (SITE / language / "404.html").read_text(encoding="utf-8")
    document = Document(text)
    assert document.loads == []
    assert "<style>" in text
    assert document.links == ["./en/", "./zh/"]


def test_no_list_of_versions_is_asked_for_where_there_is_none(pages: dict[Path, Document]) -> None:
    text = (SITE / "en" / "index.html").read_text(encoding="utf-8")
    (config,) = re.findall(r'<script id="__config" type="application/json">(.*?)</script>', text)
    assert json.loads(config)["version"] is None


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


@pytest.mark.parametrize("language", LANGUAGES)
def test_guides_count_more_than_the_reference_in_the_search(
    language: str, pages: dict[Path, Document]
) -> None:
    script = (SITE / language / "search" / "search_index.js").read_text(encoding="utf-8")
    entries = json.loads(script.removeprefix("var __index = "))["docs"]
    counted = {True: set[float](), False: set[float]()}
    for entry in entries:
        counted[entry["location"].startswith("reference/")].add(entry.get("boost", 1))
    assert counted[False] == {1}
    assert max(counted[True]) < 1


def test_no_table_has_an_empty_heading(pages: dict[Path, Document]) -> None:
    empty = re.compile("<th[^>]*></th>")
    assert [page for page in pages if empty.search(page.read_text(encoding="utf-8"))] == []


def test_questions_open_the_explorer_at_the_place_that_answers_them(
    pages: dict[Path, Document],
) -> None:
    for language in LANGUAGES:
        views = [
            link.removeprefix("../explorer/index.html#")
            for link in pages[SITE / language / "questions.html"].links
            if link.startswith("../explorer/index.html#")
        ]
        source = SITE.parents[1] / "docs" / language / "questions.md"
        assert len(views) == source.read_text("utf-8").count("](explorer.md#") == 16
        assert all(view.endswith(f"&language={language}") for view in views)


@pytest.mark.parametrize(
    ("language", "theme", "width", "name"),
    [
        ("en", "light", 1280, "index"),
        ("en", "dark", 390, "questions"),
        ("en", "dark", 390, "explorer"),
        ("zh", "light", 1280, "lstm"),
        ("en", "dark", 1280, "reference/stream"),
    ],
)
def test_axe_finds_no_barrier(
    language: str,
    theme: str,
    width: int,
    name: str,
    browser: Any,
    page_tools: Path,
    address: str,
) -> None:
    size = {"width": width, "height": 900}
    page = browser.new_page(viewport=size, color_scheme=theme, reduced_motion="reduce")
    page.goto(f"{address}{language}/{name}.html")
    page.locator(".md-search[aria-label]").wait_for(state="attached")
    assert barriers(page, page_tools) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


@pytest.mark.parametrize(
    ("language", "theme", "word"),
    [("en", "light", "dropout"), ("zh", "dark", "预测")],
)
def test_a_search_for_a_plain_word_shows_a_guide_first(
    language: str,
    theme: str,
    word: str,
    browser: Any,
    page_tools: Path,
    pages: dict[Path, Document],
) -> None:
    page = browser.new_page(color_scheme=theme, reduced_motion="reduce")
    page.goto((SITE / language / "index.html").as_uri())  # from the disk: no server is needed
    page.locator(".md-search__input").fill(word)
    page.locator(".md-search__input").press("End")  # it listens to keys
    found = page.locator(".md-search-result__item > a").first
    found.wait_for()
    assert "/reference/" not in found.evaluate("(link) => link.href")
    assert barriers(page, page_tools) == []
    page.close()


def test_what_is_not_found_leads_back_from_any_folder(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}zh/reference/deeper/none.html")
    links = page.locator("a").evaluate_all("(all) => all.map((link) => link.href)")
    assert links == [f"{address}en/", f"{address}zh/"]
    page.goto(f"{address}none.html")
    links = page.locator("a").evaluate_all("(all) => all.map((link) => link.href)")
    assert links == [f"{address}en/", f"{address}zh/"]
    page.close()


def test_published_pages_know_their_version(
    monkeypatch: pytest.MonkeyPatch, pages: dict[Path, Document]
) -> None:
    from mkdocs.config import load_config

    monkeypatch.setenv("SITE_URL", "https://someone.github.io/gated/en/")
    monkeypatch.setenv("MIKE_DOCS_VERSION", json.dumps({"version": "1.2"}))
    config = load_config(str(SITE.parents[1] / "mkdocs.yml"))
    config = config.plugins.on_config(config)
    assert config.site_url == "https://someone.github.io/gated/en/1.2/"
    assert config.extra["root"] == "/gated/"  # to which the page of what is not found leads
    assert config.extra["version"] == {"provider": "mike"}
    (hooks,) = config.hooks.values()
    assert hooks.explorer() == "../../explorer/1.2/index.html"
