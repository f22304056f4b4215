"""Words in the search: n-grams against counts by hand, and what they change."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gated.errors import DataError
from gated.tasks.speech.search import LetterScorer, Scorers, Search, prefix_beam
from gated.tasks.speech.words import BEGIN, END, UNKNOWN, WordModel, WordScorer

ARPA = r"""
\data\
ngram 1=5
ngram 2=2

\1-grams:
-0.9 </s>
-99 <s> -0.3
-1.0 tea -0.2
-0.5 ant
-2.0 <unk>

\2-grams:
-0.1 <s> tea
-0.4 tea ant

\end\
"""
LETTERS = " aent"


def heard(text: str, *others: str, sure: float = 0.9) -> np.ndarray:
    """Log-probabilities of a text, letter, blank, letter; `others` share what is left."""
    rows = []
    for place, letter in enumerate(text):
        row = np.full(len(LETTERS) + 1, 1e-6)
        row[LETTERS.index(letter) + 1] = sure
        for other in others:
            row[LETTERS.index(other[place]) + 1] += (1 - sure) / len(others)
        blank = np.full(len(LETTERS) + 1, 1e-6)
        blank[0] = 1
        rows += [row / row.sum(), blank / blank.sum()]
    return np.log(rows).astype(np.float32)


def written(likely: np.ndarray, scorer: object) -> str:
    codes, _ = prefix_beam(likely, Search(beam=32), scorer)
    return "".join(LETTERS[code - 1] for code in codes)


def test_an_arpa_file_backs_off(tmp_path: Path) -> None:
    (tmp_path / "a.arpa").write_text(ARPA)
    model = WordModel.read(tmp_path / "a.arpa")
    tens = math.log(10)
    assert model.order == 2
    for word, before, expected in (
        ("tea", (BEGIN,), -0.1),
        ("ant", ("tea",), -0.4),
        ("ant", (BEGIN,), -0.3 - 0.5),
        ("tea", ("ant",), -1.0),
        ("net", ("tea",), -0.2 - 2.0),
        ("ant", ("net", "tea"), -0.4),
    ):
        assert model.expected(word, before) == pytest.approx(expected * tens)
    (tmp_path / "a.arpa").write_text(ARPA.replace("-0.4 tea ant", "tea ant"))
    with pytest.raises(DataError, match="line 15: 'tea ant' is not a logarithm, 2 words"):
        WordModel.read(tmp_path / "a.arpa")


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_after_any_words_sum_to_one(order: int) -> None:
    text = "a b a c\na b b\nc a\na b a\nd".splitlines()
    model = WordModel.counted([line.split() for line in text], order)
    for before in ((BEGIN,), ("a",), ("a", "b"), (BEGIN, "a"), ("d", "d"), ("x", "a")):
        words = ("a", "b", "c", "d", END, UNKNOWN)
        assert sum(math.exp(model.expected(word, before)) for word in words) == pytest.approx(1)


def test_kneser_ney_by_hand() -> None:
    # Bigrams: <s>a 2, ab 2, b</s> 1, bc 1, c</s> 1. Once 3, twice 2: D = 3/7.
    # Before a: <s>; b: a; c: b; </s>: b, c. Of 5, once 3, twice 1: D = 3/5, 4 kinds, 5 words.
    model = WordModel.counted([["a", "b"], ["a", "b", "c"]], 2)
    left = 3 / 5 * 4 / 5 / 5
    of_c = (1 - 3 / 5) / 5 + left
    assert model.expected("c", ()) == pytest.approx(math.log(of_c))
    assert model.expected("zzz", ()) == pytest.approx(math.log(left))
    after_b = (1 - 3 / 7) / 2 + 3 / 7 * 2 / 2 * of_c
    assert model.expected("c", ("b",)) == pytest.approx(math.log(after_b))
    assert model.expected("c", ("a",)) == pytest.approx(math.log(3 / 7 * 1 / 2 * of_c))


def test_what_a_text_gains_is_the_sum_of_its_words() -> None:
    model = WordModel.counted([["tea", "ant"], ["ten", "nat", "ant"], ["tea"]], 2)
    scorer = WordScorer(LETTERS, model, weight=0.7, bonus=0.3)
    for text in ("tea ant", "nat", "te", "antent tea", "tea  ant "):
        state, gains = scorer.begin()
        total = 0.0
        for letter in text:
            total += gains[LETTERS.index(letter)]
            ((state, gains),) = scorer.after([state], [LETTERS.index(letter)])
        total += scorer.end(state)
        marked = [BEGIN, *text.split(), END]
        likely = sum(model.expected(word, (before,)) for before, word in pairwise(marked))
        assert total == pytest.approx(0.7 * likely + 0.3 * len(text.split()))


def test_words_decide_what_is_not_heard() -> None:
    likely = heard("tan ant", "ten ant", sure=0.6)
    assert written(likely, None) == "tan ant"
    model = WordModel.counted([["ten", "ant"], ["ten"], ["nat"]] * 3, 2)
    assert written(likely, WordScorer(LETTERS, model, weight=1.0)) == "ten ant"
    assert written(likely, WordScorer(LETTERS, model, weight=0.0)) == "tan ant"
    sure = heard("tan ant", "ten ant", sure=0.99)
    assert written(sure, WordScorer(LETTERS, model, weight=0.1)) == "tan ant"
    assert written(sure, WordScorer(LETTERS, model, weight=0.1, only_known=True)) == "ten ant"


def test_hot_words_are_written_whole_or_not_at_all() -> None:
    likely = heard("tan ant", "ten ant", sure=0.6)
    assert written(likely, WordScorer(LETTERS, hot=["ten"])) == "ten ant"
    assert written(likely, WordScorer(LETTERS, hot=["tent"])) == "tan ant"
    assert written(likely, WordScorer(LETTERS, hot=["ten ant"])) == "ten ant"
    assert written(likely, WordScorer(LETTERS, hot=["ten tea"])) == "tan ant"
    assert written(likely, WordScorer(LETTERS, hot=["ten"], hot_bonus=0.1)) == "tan ant"
    with pytest.raises(DataError, match=r"hot word 'tex' .* lacks 'x'"):
        WordScorer(LETTERS, hot=["tex"])


@pytest.mark.parametrize(
    "text", ["ten ant tea", "ten", "ant ten an", "tent", "nten ten", "ten tea"]
)
def test_only_whole_hot_words_are_paid_for(text: str) -> None:
    scorer = WordScorer(LETTERS, hot=["ten", "ant tea"], hot_bonus=2.0)
    state, gains = scorer.begin()
    total = 0.0
    for letter in text:
        total += gains[LETTERS.index(letter)]
        ((state, gains),) = scorer.after([state], [LETTERS.index(letter)])
    padded = f" {text} "
    whole = 3 * padded.replace(" ", "  ").count(" ten ") + 7 * padded.count(" ant tea ")
    assert total + scorer.end(state) == pytest.approx(2.0 * whole)


def test_scorers_add_up() -> None:
    class Same:
        def begin(self):
            return 0, np.log(np.full(len(LETTERS), 0.2, np.float32))

        def after(self, states, letters):
            return [self.begin() for _ in states]

    likely = heard("tan ant", "ten ant", sure=0.6)
    words = WordScorer(LETTERS, hot=["ten"])
    both = Scorers([LetterScorer(Same(), 0.5, 0.5 * math.log(5)), words])
    assert written(likely, both) == written(likely, words) == "ten ant"


def test_a_text_without_words_or_with_strange_letters_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n \n")
    with pytest.raises(DataError, match="holds no word"):
        WordModel.read(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("tea ant\nten\n")
    assert set(WordModel.read(tmp_path / "a.txt").words) == {"tea", "ant", "ten"}
    with pytest.raises(DataError, match="No word of the word model can be written"):
        WordScorer("xyz", WordModel.read(tmp_path / "a.txt"))
