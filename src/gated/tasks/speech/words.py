"""Words in the search for a transcript: n-grams of words, and hot words.

A search writes letter by letter, and a word's probability is only known at its end. Until then, a
text that may become a word has the probability of the most probable such word ("smearing"), so
that words compete from their first letter on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.errors import DataError

Doubles = NDArray[np.float64]
Gram = tuple[str, ...]
BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
ORDER = 3
"""Words of the n-grams that are counted in a text."""
LOG10 = math.log(10)
NEVER = -math.inf
UNSEEN = -7.0
"""Decimal logarithm of the probability of an unknown word, where a file states none."""


@dataclass(frozen=True)
class WordModel:
    """N-grams of words with back-off, as an ARPA file holds them; natural logarithms."""

    likely: Mapping[Gram, float]
    """Log-probability of the last word after those before."""
    back_off: Mapping[Gram, float]
    """What is added where an n-gram that begins with these words is not known."""
    order: int

    @cached_property
    def words(self) -> dict[str, float]:
        """Log-probability of each word by itself, without the marks of begin, end and unknown."""
        marks = {BEGIN, END, UNKNOWN}
        return {of[0]: p for of, p in self.likely.items() if len(of) == 1 and of[0] not in marks}

    @property
    def unknown(self) -> float:
        """Log-probability of a word that is not known."""
        return self.likely.get((UNKNOWN,), UNSEEN * LOG10)

    def expected(self, word: str, before: Sequence[str]) -> float:
        """Return the log-probability of `word` after others (Katz 1987)."""
        context = tuple(before)[-(self.order - 1) :] if self.order > 1 else ()
        added = 0.0
        while (*context, word) not in self.likely and context:
            added += self.back_off.get(context, 0.0)
            context = context[1:]
        return added + self.likely.get((*context, word), self.unknown)

    @classmethod
    def read(cls, path: Path, clean: Callable[[str], str] = str) -> WordModel:
        r"""Read an ARPA file, or count n-grams in a text of one sentence a line.

        An ARPA file is known by its line `\data\`.

        Args:
            path: of the file.
            clean: makes the lines of a text as transcripts are written.

        Raises:
            DataError: the file is empty, not UTF-8, or a damaged ARPA file.
            FileNotFoundError: there is no such file.
        """
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8: {error}.") from error
        if any(line.strip() == "\\data\\" for line in lines[:100]):
            return cls.of_arpa(lines, str(path))
        sentences = [words for line in lines if (words := clean(line).split())]
        if not sentences:
            raise DataError(f"{path} holds no word; give a sentence a line, or an ARPA file.")
        return cls.counted(sentences)

    @classmethod
    def of_arpa(cls, lines: Iterable[str], name: str) -> WordModel:
        """Read the lines of an ARPA file, called `name` in errors."""
        likely: dict[Gram, float] = {}
        back_off: dict[Gram, float] = {}
        length = 0
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if line.endswith("-grams:") and line.startswith("\\"):
                length = int(line[1:].partition("-")[0])
            elif line == "\\end\\":
                break
            elif line and length:
                values = line.split()
                try:
                    if not length + 1 <= len(values) <= length + 2:
                        raise ValueError
                    gram = tuple(values[1 : length + 1])
                    likely[gram] = float(values[0]) * LOG10
                    if len(values) == length + 2:
                        back_off[gram] = float(values[-1]) * LOG10
                except ValueError:
                    raise DataError(
                        f"{name}, line {number}: {line!r} is not a logarithm, {length} words and "
                        "perhaps a back-off."
                    ) from None
        if not likely:
            raise DataError(f"{name} holds no n-gram.")
        return cls(likely, back_off, max(map(len, likely)))

    @classmethod
    def counted(cls, sentences: Sequence[Sequence[str]], order: int = ORDER) -> WordModel:
        """Count n-grams, interpolated as Kneser and Ney (1995) do.

        The discount is n1 / (n1 + 2 n2), with n1 and n2 how many n-grams occur once and twice
        (Ney et al. 1994). Shorter n-grams are counted by the different words before them. One word
        more is in the vocabulary, for those unknown.
        """
        grams: list[Counter[Gram]] = [Counter() for _ in range(order)]
        for sentence in sentences:
            marked = (BEGIN, *sentence, END)
            for length in range(1, order + 1):
                for place in range(len(marked) - length + 1):
                    grams[length - 1][marked[place : place + length]] += 1
        return _kneser_ney(grams)


def _kneser_ney(grams: Sequence[Counter[Gram]]) -> WordModel:
    """Interpolate n-grams, each length with how often those occur."""
    likely: dict[Gram, float] = {}
    back_off: dict[Gram, float] = {}
    vocabulary = {gram[0] for gram in grams[0]} - {BEGIN} | {UNKNOWN}
    shorter: dict[Gram, float] = {}
    for length, raw in enumerate(grams, 1):
        counts = Counter(raw) if length == len(grams) else Counter[Gram]()
        if length < len(grams):  # by the different words before
            for gram in grams[length]:
                counts[gram[1:]] += 1
            # Nothing is before the begin of a sentence.
            counts.update({gram: count for gram, count in raw.items() if gram[0] == BEGIN})
        counts.pop((BEGIN,), None)
        of_counts = Counter(counts.values())
        once, twice = of_counts[1], of_counts[2]
        discount = once / (once + 2 * twice) if once and twice else 0.5
        total: Counter[Gram] = Counter()
        kinds: Counter[Gram] = Counter()
        for gram, count in counts.items():
            total[gram[:-1]] += count
            kinds[gram[:-1]] += 1
        left = {context: discount * kinds[context] / total[context] for context in total}
        found: dict[Gram, float] = {}
        for gram, count in counts.items():
            context = gram[:-1]
            below = shorter[gram[1:]] if length > 1 else 1 / len(vocabulary)
            found[gram] = (count - discount) / total[context] + left[context] * below
        if length == 1:
            found[(UNKNOWN,)] = left[()] / len(vocabulary)
        back_off.update({context: math.log(of) for context, of in left.items() if context})
        likely.update({gram: math.log(of) for gram, of in found.items()})
        shorter = found
    return WordModel(likely, back_off, len(grams))


class _Letters:
    """A node of a tree of words, or of phrases, written in letters."""

    __slots__ = ("best", "children", "whole")

    def __init__(self) -> None:
        self.children: dict[int, _Letters] = {}
        self.best = NEVER
        """Log-probability of the most probable word that begins so."""
        self.whole = False
        """Whether it ends here."""

    def add(self, codes: Sequence[int], likely: float = 0.0) -> None:
        """Add a word as the codes of its letters."""
        node = self
        node.best = max(node.best, likely)
        for code in codes:
            node = node.children.setdefault(code, _Letters())
            node.best = max(node.best, likely)
        node.whole = True


Hot = tuple[tuple[_Letters, float], ...]
"""Places in hot phrases that the text may be in, and what was added for each, to be taken back if
it is not completed. The largest of these is what was added."""


class _State(NamedTuple):
    """Of a text in the search."""

    before: Gram
    """Words before the one that is being written."""
    written: tuple[int, ...]
    """Codes of the letters of that one."""
    node: _Letters | None
    """Where it is in the tree of words; None where no known word begins so."""
    given: float
    """What was added for it so far."""
    hot: Hot
    """Where the text is in hot phrases."""


@dataclass(frozen=True)
class WordScorer:
    """Adds weighted log-probabilities of words, and a bonus for hot words, as a search needs them.

    Args:
        letters: of the alphabet; the code of each is its place, from 1.
        model: n-grams of words, if any.
        weight: of their log-probabilities.
        bonus: for each word.
        hot: words and phrases that are to be expected.
        hot_bonus: for each letter of these.
        only_known: whether only words of the model are written.
    """

    letters: str
    model: WordModel | None = None
    weight: float = 0.5
    bonus: float = 0.0
    hot: Sequence[str] = ()
    hot_bonus: float = 1.0
    only_known: bool = False
    _words: _Letters = field(default_factory=_Letters, init=False)
    _phrases: _Letters = field(default_factory=_Letters, init=False)

    def __post_init__(self) -> None:
        """Write words in the letters' codes; those with other letters cannot be written."""
        if self.model is not None:
            for word, likely in self.model.words.items():
                if codes := self._codes(word):
                    self._words.add(codes, likely)
            if not self._words.children:
                raise DataError(
                    f"No word of the word model can be written with the alphabet {self.letters!r}: "
                    "write its text as the transcripts are written."
                )
        for phrase in self.hot:
            codes = self._codes(phrase)
            if not codes:
                strange = next((of for of in phrase if of not in self.letters), "")
                raise DataError(
                    f"The hot word {phrase!r} cannot be written with the alphabet "
                    f"{self.letters!r}: it lacks {strange!r}."
                )
            self._phrases.add(codes)

    def begin(self) -> tuple[_State, Doubles]:
        """Return the state before the first letter, and what each letter adds."""
        state = _State((BEGIN,), (), self._words, 0.0, ((self._phrases, 0.0),))
        return state, self._gains(state)

    def after(
        self, states: Sequence[_State], letters: Sequence[int]
    ) -> list[tuple[_State, Doubles]]:
        """Return the same after one more letter, for each of several states."""
        following = [self._next(*pair) for pair in zip(states, letters, strict=True)]
        return [(state, self._gains(state)) for state in following]

    def end(self, state: _State) -> float:
        """Return what is added where the text ends."""
        ending, before = self._word_ended(state)
        if self.model is not None:
            ending += self.weight * self.model.expected(END, before)
        return ending + _whole(state.hot) - _lent(state.hot)

    @cached_property
    def _space(self) -> int:
        return self.letters.find(" ") + 1

    def _codes(self, word: str) -> list[int]:
        """Return the codes of letters; empty where one is not in the alphabet."""
        places = [self.letters.find(letter) + 1 for letter in " ".join(word.split())]
        return places if all(places) else []

    def _word_ended(self, state: _State) -> tuple[float, Gram]:
        """Return what the end of the word adds, and the words then."""
        if not state.written:
            return 0.0, state.before
        word = "".join(self.letters[code - 1] for code in state.written)
        before = (*state.before, word)
        if self.model is None:
            return self.bonus, ()
        if self.only_known and (state.node is None or not state.node.whole):
            return NEVER, before
        likely = self.model.expected(word, state.before)
        return self.bonus + self.weight * likely - state.given, before[-self.model.order :]

    def _next(self, state: _State, letter: int) -> _State:
        code, hot = letter + 1, self._hot_after(state.hot, letter + 1)
        if code == self._space:
            _, before = self._word_ended(state)
            return _State(before, (), self._words, 0.0, hot)
        node = state.node.children.get(code) if state.node else None
        return _State(state.before, (*state.written, code), node, self._given(node), hot)

    def _given(self, node: _Letters | None) -> float:
        """Return what is added for a word that begins so, until it ends."""
        if self.model is None:
            return 0.0
        if node is None:
            return NEVER if self.only_known else self.weight * self.model.unknown
        return self.weight * node.best

    def _hot_after(self, hot: Hot, code: int) -> Hot:
        """Return the places in hot phrases after one more letter."""
        space = code == self._space
        paid = space and _whole(hot) > 0
        following = tuple(
            (node.children[code], (0.0 if paid else lent) + self.hot_bonus)
            for node, lent in hot
            if code in node.children
        )
        return ((self._phrases, 0.0), *following) if space else following

    def _hot_gain(self, hot: Hot, code: int) -> float:
        kept = _whole(hot) if code == self._space else 0.0
        return kept + _lent(self._hot_after(hot, code)) - _lent(hot)

    def _gains(self, state: _State) -> Doubles:
        """Return (C - 1,), what each next letter adds."""
        gains = np.full(len(self.letters), self._given(None) - state.given)
        if state.given == NEVER:  # nothing that follows makes it a word
            gains[:] = NEVER
        for code, node in (state.node.children if state.node else {}).items():
            gains[code - 1] = self._given(node) - state.given
        lent = _lent(state.hot)
        gains -= lent
        for code in {code for node, _ in state.hot for code in node.children}:
            gains[code - 1] += lent + self._hot_gain(state.hot, code)
        if self._space:
            ended, _ = self._word_ended(state)
            gains[self._space - 1] = ended + self._hot_gain(state.hot, self._space)
        return gains


def _lent(hot: Hot) -> float:
    """Return what was added for phrases that are not complete."""
    return max((lent for _, lent in hot), default=0.0)


def _whole(hot: Hot) -> float:
    """Return what a phrase that ends here is worth."""
    return max((lent for node, lent in hot if node.whole), default=0.0)
