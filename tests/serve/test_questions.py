"""The questions of the docs: what answers them is where they say, in both languages."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import settle

DOCS = Path(__file__).parents[2] / "docs"
QUESTION = re.compile(
    r"^### (\d+)\. .+?\[“([^”]+)”\]\(explorer\.md(#[^)]+)\)", re.MULTILINE | re.DOTALL
)


IN_SIGHT = """(words) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const nodes = [];
  for (let node; (node = walker.nextNode()); ) if (node.parentElement.checkVisibility()) nodes.push(node);
  const whole = nodes.map((node) => node.data).join("");
  const place = (at) => {
    for (const node of nodes) {
      if (at <= node.length) return [node, at];
      at -= node.length;
    }
  };
  const first = whole.indexOf(words);
  if (first < 0) return [];
  const range = new Range();
  range.setStart(...place(first));
  range.setEnd(...place(first + words.length));
  return [...range.getClientRects()].map(({ left, right, top, bottom }) => {
    const over = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    const seen = over !== null && range.intersectsNode(over);
    return { left, right, top, bottom, seen };
  });
}"""
"""Where the lines of some words are in the window, and whether anything lies over them."""


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_what_answers_a_question_is_in_sight_when_its_link_is_opened(
    language: str, width: int, height: int, opened: Callable[[str], Any], address: str
) -> None:
    questions = QUESTION.findall((DOCS / language / "questions.md").read_text("utf-8"))
    page = opened("about:blank")
    page.set_viewport_size({"width": width, "height": height})
    for number, words, place in questions:
        page.goto("about:blank")
        page.goto(f"{address}{place}&language={language}")
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        lines = page.evaluate(IN_SIGHT, words)
        assert lines, f"question {number}"
        for line in lines:
            assert line["seen"], f"question {number}: {line}"
            assert line["left"] >= 0
            assert line["right"] <= width
            assert line["top"] >= 0
            assert line["bottom"] <= height


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_answers_a_question_is_where_the_docs_say(
    language: str, opened: Callable[[str], Any], address: str
) -> None:
    questions = QUESTION.findall((DOCS / language / "questions.md").read_text("utf-8"))
    assert [int(number) for number, *_ in questions] == list(range(1, 13))
    for view in dict.fromkeys(view for *_, view in questions):
        page = opened(f"{address}{view}&language={language}")
        settle(page)
        shown = " ".join(page.inner_text("body").split())
        for number, words, place in questions:
            if place == view:
                assert words in shown, f"question {number}: {view} does not show {words!r}"
        page.close()
