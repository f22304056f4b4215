"""Layers that read a text: its codes, and scores by the words and letters that it holds.

Shapes: T characters, B texts, F features, C scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from gated.core import ngrams
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


class NGrams(Layer):
    """Probabilities of the next code by a network and by n-grams: see `gated.core.ngrams`.

    Of codes, and probabilities at each step. `arrays` is what the names of `steps0`, `counts0`, …,
    up to `order`, and `shares` begin with.
    """

    inputs = 2
    takes: ClassVar[tuple[Kind, ...]] = ("codes", "steps")
    without = "--no-ngrams"

    def __init__(self, entry: Entry, *given: Form) -> None:
        if given[0].kind != "codes" or given[1] != given[0]._replace(kind="steps"):
            raise entry.wrong("takes codes, and a probability for each of them at each step")
        self._order = entry.whole("order", 0, ngrams.LONGEST - 1)
        prefix = entry.text("arrays")
        shares = (self._order + 1) * ngrams.TIMES
        arrays = {"shares": entry.kept(f"{prefix}shares", "float64", shares)}
        for length in range(self._order + 1):
            for name, width in (("steps", 8), ("counts", 4)):
                of = f"{name}{length}"
                arrays[of] = entry.kept(f"{prefix}{of}", "uint8", width, None)
        try:
            self._mixture = ngrams.Mixture.from_arrays(arrays, given[0].features)
        except ValueError as error:
            raise entry.wrong(f"has n-grams that are damaged: {error}") from error
        self.form = given[1]

    def begin(self, sequences: int) -> State:
        """The last codes."""
        return (np.full((sequences, self._order), ngrams.NOTHING, np.int64),)

    def run(self, given: Sequence[Steps], state: State) -> tuple[Steps, State]:
        """Mix after each step."""
        codes, network = given[0].values, given[1].values
        order, read = self._order, np.concatenate([state[0], codes.T], axis=1)
        found = [
            self._mixture.following(network[step], read[:, step + 1 : step + 1 + order])
            for step in range(len(codes))
        ]
        return Steps(np.stack(found), given[0].lengths), (read[:, len(codes) :].copy(),)


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
