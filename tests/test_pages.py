"""Pages in both languages: a twin for each, of the same parts, and links that lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGLISH = sorted((ROOT / "docs" / "en").glob("*.md"))
CHINESE = sorted((ROOT / "docs" / "zh").glob("*.md"))
PAGES = [*ENGLISH, *CHINESE, *ROOT.glob("*.md")]
CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
WRITTEN_BY_A_PROGRAM = re.compile(r"<!-- \w+: begin -->.*?<!-- \w+: end -->", re.DOTALL)
HAN = "[\u4e00-\u9fff]"


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    return CODE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def made_of(path: Path) -> dict[str, object]:
    """What is the same in any language: code but for its comments, headings, figures, pictures."""
    text = prose(path)
    code = "\n".join(CODE.findall(path.read_text(encoding="utf-8")))
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    return {
        "code": re.sub(r" *#.*|, language=\"zh\"", "", code).splitlines(),
        "headings": re.findall(r"^#+ ", text, re.MULTILINE),
        "figures in rows of tables": [
            sorted(re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"\]\([^)]*\)", "", row)))
            for row in re.findall(r"^\|.*", text, re.MULTILINE)
        ],
        "pictures": [re.sub(r"(\.en|\.zh|_zh)(?=\.)", "", picture) for picture in pictures],
    }


def test_every_page_has_a_twin() -> None:
    assert [page.name for page in ENGLISH] == [page.name for page in CHINESE]


@pytest.mark.parametrize("page", ENGLISH, ids=name)
def test_twins_have_the_same_parts(page: Path) -> None:
    assert made_of(ROOT / "docs" / "zh" / page.name) == made_of(page)


def names(path: Path) -> set[str]:
    """What is set as code in the prose, but for placeholders, which are words of the language."""
    spans = {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(path))}
    translated = re.compile(r"\b(LABEL|DIRECTORY)\b")
    return {span.replace(', "zh")', ")") for span in spans if not translated.search(span)}


@pytest.mark.parametrize("page", ENGLISH, ids=name)
def test_a_chinese_page_has_every_name_of_the_english_one(page: Path) -> None:
    assert names(page) - names(ROOT / "docs" / "zh" / page.name) == set()


def test_measured_speed_is_the_same_in_both_languages() -> None:
    english, chinese = (
        WRITTEN_BY_A_PROGRAM.findall((folder / "benchmarks.md").read_text(encoding="utf-8"))
        for folder in (ROOT / "docs" / "en", ROOT / "docs" / "zh")
    )
    assert len(english) == 3
    assert chinese == english


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", prose(page))
    for path, anchor in links:
        to = page.parent / path if path else page
        assert to.exists(), f"{name(page)} links to {path}, which is not there"
        if anchor and "=" not in anchor:  # which is a view of the explorer
            assert anchor in anchors(to), f"{path} has no heading #{anchor}: {sorted(anchors(to))}"


@pytest.mark.parametrize("page", [*CHINESE, ROOT / "README.zh-CN.md"], ids=name)
def test_a_chinese_page_reads_as_one(page: Path) -> None:
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", prose(page))
    own = "\n".join(line for line in text.splitlines() if "「" not in line)  # not what is quoted
    assert not re.findall(rf".*(?:{HAN}[,;:!?()]|[,;:!?()]{HAN}).*", own)  # full width is asked for
    assert not re.findall(rf".*{HAN}\n{HAN}.*", own)  # browsers show such a break as a space
    stops = "[。！？；，：]"  # wide enough without a space, or a break, which is shown as one
    assert not re.findall(rf".*{stops}(?:\*\*)?[ \n]{HAN}.*", prose(page))
    assert "docs/en/" not in prose(page)
    assert "../en/" not in prose(page)
