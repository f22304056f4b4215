"""Layers that read a text: its codes, and scores by the words and letters that it holds.

Shapes: T characters, B texts, F features, C scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from gated.core.text_features import View, letters_in, scores, words_in
from gated.live.coding import coder_of, text_of
from gated.live.entry import MOST_FEATURES, Entry
from gated.live.layer import Form, Kind, Layer, State, Steps, checked_width

BETWEEN = "\0"
"""Between the names of features."""


class Encode(Layer):
    """The codes of a text, the first `longest` of them: of its characters, bytes or subwords."""

    takes: ClassVar[tuple[Kind, ...]] = ("text",)
    streams = False

    def __init__(self, entry: Entry, *given: Form) -> None:
        count = entry.whole("codes", 1, MOST_FEATURES)
        self.longest = entry.whole("longest", 1, 1 << 40, 1 << 40)
        coder = coder_of(entry, count)
        if coder is None:
            raise entry.wrong("has no unit: character, byte or subword")
        self._coder = coder
        self.form = Form("codes", count, (0, id(self)))

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Code each text."""
        values, ends = given[0].values, given[0].ends
        found = [
            self._coder.codes(text_of(values[:end, row]))[: self.longest]
            for row, end in enumerate(ends)
        ]
        lengths = np.array([len(of) for of in found], np.int64)
        codes = np.zeros((int(lengths.max()), len(found)), np.int64)
        for row, of in enumerate(found):
            codes[: len(of), row] = of
        return Steps(codes, lengths), state


class WordScores(Layer):
    """Scores, linear in the TF-IDF of words and of runs of letters: see `gated.core.text_features`.

    `features` (bytes of UTF-8) are their names, of which the first `words` are those of words;
    `idf` (F) their inverse document frequencies, `weight` (F, C) in float16, `bias` (C).
    """

    takes: ClassVar[tuple[Kind, ...]] = ("text",)
    streams = False
    pools = True
    without = "--no-linear"

    def __init__(self, entry: Entry, *given: Form) -> None:
        self._idf = entry.stored("idf", "float32", None)
        self._weight = entry.stored("weight", "float16", len(self._idf), None)
        self._bias = entry.stored("bias", "float32", self._weight.shape[1])
        words = entry.whole("words", 0, len(self._idf))
        try:
            text = entry.stored("features", "uint8", None).tobytes().decode()
        except UnicodeDecodeError as error:
            raise entry.wrong("has names of features that are no text") from error
        names = text.split(BETWEEN) if text else []
        parts = names[:words], names[words:]
        if len(names) != len(self._idf) or any(len(set(of)) < len(of) for of in parts):
            raise entry.wrong(f"needs {len(self._idf)} names of features, each once")
        self._views = [
            View(words_in, parts[0], self._idf[:words]),
            View(letters_in, parts[1], self._idf[words:]),
        ]
        self.form = Form("sequence", checked_width(entry, len(self._bias)))

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Score each text: (1, B, C)."""
        values, ends = given[0].values, given[0].ends
        texts = [text_of(values[:end, row]) for row, end in enumerate(ends)]
        found = [scores(self._views, self._weight, self._bias, text) for text in texts]
        return Steps(np.stack(found)[None], None), state

    def at_the_end(self, given: Sequence[Steps]) -> Steps:
        """Score each text."""
        return self.run(given, ())[0]
