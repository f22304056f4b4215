"""What the site does to the pages of docs/, which can also be read as they are.

Each language is a site of its own: its pages lose the name of their folder, links out of docs/ lead
to the repository, equations become MathML, which browsers draw without help, and the pages of the
reference and of the notebooks are written here.
"""

from __future__ import annotations

import html
import json
import os
import posixpath
import re
import tomllib
from typing import Any
from urllib.parse import urlsplit

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from notebook_pages import page_of_notebook
from public_names import ROOT, reference
from reference_pages import reference_page

LANGUAGES = ("en", "zh")
LIVE = {"en": "Open it here, in your browser", "zh": "在浏览器中直接打开"}
"""The link to the explorer, which `make docs` writes beside the sites of the languages."""
STORY = {"en": "The pictures as one that moves", "zh": "会动的图解"}
"""The title of the explorer's story in the page of the pictures."""
REFERENCE_BOOST = 0.1
"""What a hit in the reference counts: who looks for a word wants the page that explains it."""
ASSETS = ROOT / "web" / "site" / "assets"
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
VIEW = re.compile(r"\[([^]]+)\]\(explorer\.md#([^)]*=[^)]*)\)")
"""A link to a view of the explorer: on the site, which has the explorer, it opens that view."""
CODE = re.compile(r"(^ *```.*?^ *```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
CORNER = re.compile(r"<th([^>]*)></th>")
EQUATION = re.compile(r'<(div|span) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set what is written once for both languages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    language = config.extra["language"]
    config.repo_url = project["urls"]["Repository"]
    config.repo_name = "gated"
    config.nav = _nav(config.nav or [], language, config.extra.get("sections", {}))
    other = LANGUAGES[1 - LANGUAGES.index(language)]
    version = _version()
    site = os.environ.get("SITE_URL")
    config.site_url = f"{site}{version}/" if site and version else site
    # Where the languages lie, for the page of what is not found, which is served at any address.
    config.extra["root"] = urlsplit(site).path.removesuffix(f"{language}/") if site else "./"
    if version:
        # Else the page would ask for a list of versions, which is not there.
        config.extra["version"] = {"provider": "mike"}
    config.extra["alternate"] = [
        {
            "lang": other,
            "name": {"en": "English", "zh": "中文"}[other],
            "link": f"../../{other}/{version}/" if version else f"../{other}/",
        }
    ]
    return config


def _version() -> str | None:
    """Return the version that mike builds: each language has its own, en/1.0 beside zh/1.0."""
    version: str | None = json.loads(os.environ.get("MIKE_DOCS_VERSION", "{}")).get("version")
    return version


def explorer() -> str:
    """Return where the explorer lies, as seen from the top pages of a language."""
    version = _version()
    return f"../../explorer/{version}/index.html" if version else "../explorer/index.html"


def _nav(entries: list[Any], language: str, sections: dict[str, str]) -> list[Any]:
    filled: list[Any] = []
    for entry in entries:
        if isinstance(entry, str):
            filled.append(f"{language}/{entry}")
            continue
        ((title, inside),) = entry.items()
        if inside == "reference":
            inside = [f"reference/{page['file']}.md" for page in reference()]
        under = f"{language}/{inside}" if isinstance(inside, str) else _nav(inside, language, {})
        filled.append({sections.get(title, title): under})
    return filled


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Keep the pages of one language, and add those that are made from something else."""
    language = config.extra["language"]
    for file in list(files):
        folder, _, rest = file.src_uri.partition("/")
        if folder in LANGUAGES and folder != language:
            files.remove(file)
        elif folder == language and rest.endswith(".ipynb"):
            files.remove(file)
            text = page_of_notebook(ROOT / "docs" / file.src_uri)
            page = file.src_uri.removesuffix(".ipynb") + ".md"
            files.append(File.generated(config, page, content=text))
    for page in reference():
        made = reference_page(page, language)
        files.append(
            File.generated(config, f"{language}/reference/{page['file']}.md", content=made)
        )
    for asset in sorted(ASSETS.iterdir()):
        files.append(File.generated(config, f"assets/{asset.name}", content=asset.read_bytes()))
    for file in files:
        if file.src_uri.startswith(f"{language}/"):
            file.dest_uri = file.dest_uri.removeprefix(f"{language}/")
            file.url = file.dest_uri
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links out of docs/ lead to the repository, and links to notebooks to their pages."""
    here = posixpath.dirname(page.file.src_uri)
    if page.is_homepage:
        page.meta["hide"] = ["navigation", "toc"]
    if here == f"{config.extra['language']}/reference":
        page.meta["search"] = {"boost": REFERENCE_BOOST}

    def moved(link: re.Match[str]) -> str:
        before, path, after = link.groups()
        if ":" in path:
            return link[0]
        inside = posixpath.normpath(posixpath.join("docs", here, path))
        if not inside.startswith("docs/"):
            return f"{before}{config.repo_url}/blob/HEAD/{inside}{after}"
        return f"{before}{re.sub('[.]ipynb$', '.md', path)}{after}"

    language = config.extra["language"]
    if page.file.src_uri == f"{language}/explorer.md":  # the site has what the page is about
        title, _, rest = markdown.partition("\n")
        link = f'<p><a class="md-button" href="{explorer()}">{LIVE[language]}</a></p>'
        markdown = f"{title}\n\n{link}\n{rest}"
    if page.file.src_uri == f"{language}/lstm.md":
        before, heading, rest = markdown.partition("\n## ")
        frame = (
            f'<iframe src="{explorer()}#story=0&amp;language={language}"'
            f' title="{STORY[language]}" loading="lazy" width="100%" height="820"'
            ' style="border: 0"></iframe>'
        )
        markdown = f"{before}\n{frame}\n{heading}{rest}"

    def opened(view: re.Match[str]) -> str:
        text, place = view.groups()
        return f'<a href="{explorer()}#{html.escape(place)}&amp;language={language}">{text}</a>'

    markdown = VIEW.sub(opened, markdown)
    parts = CODE.split(markdown)  # code at odd places
    return "".join(part if index % 2 else LINK.sub(moved, part) for index, part in enumerate(parts))


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write equations as MathML, and corners of tables that head nothing as empty cells."""

    def mathml(equation: re.Match[str]) -> str:
        display = "block" if equation[1] == "div" else "inline"
        latex = html.unescape(equation[2]).replace("{aligned}", "{split}")  # which it knows
        return convert(latex, display=display)

    return CORNER.sub(r"<td\1></td>", EQUATION.sub(mathml, content))
