"""A vocabulary of words, and what it costs to spell those that are not in it."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.core.ngrams import Floats, NGrams
from gated.texts.vocabulary import MOST, REPLACEMENT, UNKNOWN, Points, Vocabulary, text_of

PIECES = re.compile(r"\n| ?L[LM]*(?:'L[LM]*)*| ?AM*| ?N+| ?['O]|[ S]+|M+")
"""A word is one of these, each character being its class: letters with the space before them, also
around an apostrophe; a letter that is a word of its own; a number; another sign; other space."""
ALONE = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts without spaces between words, each of whose letters is one."""
MOST_RARE = 50_000
"""Rare words, the most frequent, from which it is learnt how unknown ones are spelled."""
UNICODE = 0x110000 - 0x800
"""Characters that there may be: all code points but surrogates."""
LETTERS_BEFORE = 5
"""Letters of an unknown word that the next one is predicted from."""


class Words(Vocabulary):
    """A vocabulary of words and signs; what is cut apart, put together, is the text.

    Args:
        words: those that have a code, the most frequent first.
        rare: others of the training part; unknown words are spelled as these are.

    Raises:
        ValueError: there are more words than codes, or one is there twice.
    """

    unit = "word"

    def __init__(self, words: Sequence[str], rare: Sequence[str] = ()) -> None:
        self.words, self.rare = list(words), list(rare)
        self._codes = {word: code for code, word in enumerate(self.words, 1)}
        if len(self._codes) < len(self.words) or len(self.words) > MOST:
            raise ValueError(f"a vocabulary has up to {MOST:,} words, each once")

    @classmethod
    def learn(cls, blocks: Iterable[Points], fewest: int) -> Words:
        """Return the vocabulary of the words that a text holds `fewest` times, or more often."""
        counts = Counter[str]()
        for block in blocks:
            counts.update(words_in(text_of(block)))
        ordered = sorted(counts, key=lambda word: (-counts[word], word))
        known = [word for word in ordered[:MOST] if counts[word] >= fewest]
        return cls(known, ordered[len(known) :][:MOST_RARE])

    def encode(self, points: Points) -> NDArray[np.uint16]:
        """Return the code of each word of a text; `UNKNOWN` for those not in the vocabulary."""
        return np.array([self._codes.get(of, UNKNOWN) for of in words_in(text_of(points))], "u2")

    def unknown(self, text: str) -> list[str]:
        """Return the words of a text that are not in the vocabulary, in their order."""
        return [word for word in words_in(text) if word not in self._codes]

    def pieces(self) -> list[bytes]:
        """Return the bytes that each code stands for."""
        return [REPLACEMENT, *(word.encode() for word in self.words)]

    def to_json_value(self) -> dict[str, Any]:
        """Return the words."""
        return {"words": self.words, "rare": self.rare}


class Spelling:
    """How many bits say which unknown word it is: n-grams of the letters of rare words.

    Args:
        words: from which it is learnt.
    """

    def __init__(self, words: Sequence[str]) -> None:
        letters = sorted({letter for word in words for letter in word})
        # 0 is an unknown letter, 1 the end of a word.
        self._codes = {letter: code for code, letter in enumerate(letters, 2)}
        self._ngrams = NGrams.of(self._coded(words), len(letters) + 2, LETTERS_BEFORE)
        self._unknown_letter = float(np.log2(UNICODE - len(letters)))

    def bits(self, words: Sequence[str]) -> Floats:
        """Return (N,), the bits of each of N words, with those of its end.

        Any other character of Unicode is as likely as another in place of an unknown letter.
        """
        if not words:
            return np.zeros(0)
        coded = self._coded(words)
        bits = self._ngrams.bits_of(coded) + np.where(coded == 0, self._unknown_letter, 0.0)
        of = np.repeat(np.arange(len(words)), [len(word) + 1 for word in words])
        return np.bincount(of, bits[1:], len(words)).astype(np.float64)

    def _coded(self, words: Sequence[str]) -> NDArray[np.uint32]:
        """Return the letters of all words, an end before the first and after each."""
        codes = [1]
        for word in words:
            codes += [*(self._codes.get(letter, 0) for letter in word), 1]
        return np.array(codes, np.uint32)


def words_in(text: str) -> list[str]:
    """Cut a text into words and signs; put together, they are the text.

    >>> words_in("I don't, 2,000 times.")
    ['I', " don't", ',', ' 2', ',', '000', ' times', '.']
    """
    classes = "".join(map(_class_of, text))
    return [text[of.start() : of.end()] for of in PIECES.finditer(classes)]


@lru_cache(sys.maxunicode)
def _class_of(letter: str) -> str:
    """Return the class of a character."""
    if letter in " \n":
        return letter
    if letter in "'’":
        return "'"
    if letter.isspace():
        return "S"
    kind = unicodedata.category(letter)[0]
    if kind == "L" and unicodedata.name(letter, "").startswith(ALONE):
        return "A"
    return kind if kind in "LMN" else "O"
