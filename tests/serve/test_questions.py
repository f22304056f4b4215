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
