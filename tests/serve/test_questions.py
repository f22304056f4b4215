"""The questions of the docs: what answers them is where they say, in both languages."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import settle

DOCS = Path(__file__).parents[2] / "docs"
QUESTION = re.compile(r"^### (\d+)\. (.+?)(?=^##)", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"\[“([^”]+)”\]\(explorer\.md(#[^)]+)\)")
PLACES = {
    "tour=": "#tour, .toured",
    "box=": "#box",
    "at=train": "#train",
    "at=comparison": "section:has(> #comparison)",
    "at=reach": "section:has(> #reach)",
}
"""What a link with this part opens; the first that it has counts."""
ANSWERS = {
    "en": [
        "came before, memory",
        "one number, learned in training",
        "old memory, multiplied, 1 keeps all, 0 deletes",
        "σ of a sum, weight of the character, hₜ₋₁, bias",
        "how much of the candidate, is written into the memory",
        "sum, what each character wrote, multiplied by every forget gate",
        "hold it at another value, see what changes",
        "not enough, never forgets, predicts worse",
        "c is the memory, hidden state h, is output, gates of the next step read h",
        "no gate, computed anew, multiplied by a matrix, shrinks, gate that decides what is kept",
        "GRU has one gate, one state, other gate, one gate for keeping, another for writing",
        "norm, shortened, hides, probability, trained weights, random",
    ],
    "zh": [
        "前文, 记忆",
        "一个数, 训练中学到",
        "旧的记忆, 乘以, 1 全部保留, 0 全部抹去",
        "一个和的 σ, 字符的权重, hₜ₋₁, 偏置",
        "候选记忆, 有多少写入记忆",
        "和, 每个字符写入的内容, 乘以此后所有的遗忘门",
        "固定为别的值, 看什么会改变",
        "不够, 从不遗忘, 不如",
        "c 是记忆, 隐藏状态 h, 输出的部分, 下一步的各个门读取的是 h",
        "没有门, 重新计算, 乘以一个矩阵, 缩小, 负责保留的门",
        "GRU 用同一个门, 一个状态, 另一个门 r, LSTM 用 f 控制保留, 另一个门 i 控制写入",
        "范数, 缩短, 遮住, 概率, 训练过的权重, 随机",
    ],
}
"""What the words that answer a question have to say, by its place in the list."""


def quoted(language: str) -> list[list[tuple[str, str]]]:
    """Of each question, the words that answer it, and the link to them."""
    questions = QUESTION.findall((DOCS / language / "questions.md").read_text("utf-8"))
    assert [int(number) for number, _ in questions] == list(range(1, 13))
    return [
        [(" ".join(words.split()), link) for words, link in QUOTED.findall(question)]
        for _, question in questions
    ]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_quoted_words_answer_the_question(language: str) -> None:
    for number, (answer, said) in enumerate(
        zip(ANSWERS[language], quoted(language), strict=True), start=1
    ):
        words = " ".join(words for words, _ in said)
        assert all(sentence[-1] in ".。" for sentence, _ in said), (
            f"question {number}: half a sentence"
        )
        missing = [term for term in answer.split(", ") if term not in words]
        assert not missing, f"question {number}: {words!r} does not say {missing}"


IN_SIGHT = """(words) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const nodes = [];
  for (let node; (node = walker.nextNode()); ) {
    if (node.parentElement.checkVisibility()) nodes.push(node);
  }
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
    page = opened("about:blank")
    page.set_viewport_size({"width": width, "height": height})
    said = [pair for question in quoted(language) for pair in question]
    hidden = []
    for link in dict.fromkeys(link for _, link in said):
        page.goto("about:blank")
        page.goto(f"{address}{link}&language={language}")
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for words in (words for words, of in said if of == link):
            lines = page.evaluate(IN_SIGHT, words)
            seen = [
                line["seen"]
                and 0 <= line["left"] <= line["right"] <= width
                and 0 <= line["top"] <= line["bottom"] <= height
                for line in lines
            ]
            if not lines or not all(seen):
                hidden.append((link, words, lines))
    assert hidden == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_answers_a_question_is_where_the_docs_say(
    language: str, opened: Callable[[str], Any], address: str
) -> None:
    said = [pair for question in quoted(language) for pair in question]
    for link in dict.fromkeys(link for _, link in said):
        page = opened(f"{address}{link}&language={language}")
        settle(page)
        place = next(place for part, place in PLACES.items() if part in link)
        shown = "\n".join(part.inner_text() for part in page.locator(place).all())
        for words, of in said:
            if of == link:
                sentences = rf"(?:^|[.。)] ?){re.escape(words)}(?: |$|(?<=。))"
                assert words[-1] in ".。", f"{words!r} is no whole sentence"
                assert re.search(sentences, shown, re.MULTILINE), f"{link}: no {words!r} in {shown}"
        page.close()
