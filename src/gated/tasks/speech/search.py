"""Decoding: from log-probabilities to letters, and to words with their times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gated.errors import ConfigurationError, option
from gated.tasks.speech.alphabet import BLANK

Floats = NDArray[np.float32]
Text = tuple[int, ...]
NEVER = -math.inf


class Letters(Protocol):
    """A language model over letters, as the beam search calls it."""

    def begin(self) -> tuple[Any, Floats]:
        """Return the state before the first letter, and (C - 1,), the log-probability of each."""

    def after(self, states: Sequence[Any], letters: Sequence[int]) -> list[tuple[Any, Floats]]:
        """Return the same after one more letter, an index from 0, for each of several states."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """Options of the beam search."""

    beam: int = 16
    """Partial transcripts kept at each step; 1 takes the most probable output of each step."""
    weight: float = 0.5
    """Weight of the language model's log-probabilities, where there is one (shallow fusion)."""
    bonus: float = 0.0
    """Bonus on the score for each letter, as a language model by itself favours short texts."""
    least: float = 1e-4
    """Least probability of a letter at a step; others are not tried there."""

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise ConfigurationError(f"{option('beam')} is {self.beam}; it must be 1 or more.")
        if not 0 <= self.least < 1:
            raise ConfigurationError(
                f"{option('least')} is {self.least}; it is a share, from 0 to below 1."
            )
        if not 0 <= self.weight < np.inf:
            raise ConfigurationError(f"{option('weight')} is {self.weight}; it is 0 or more.")


@dataclass(frozen=True)
class Word:
    """A word, and when it was heard, in seconds."""

    text: str
    start: float
    end: float


def greedy(likely: Floats) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the most probable output of each step, without repetitions and blanks.

    Args:
        likely: (S, C), log-probabilities of blank and letters.

    Returns:
        The letters, and the first and last step of each.

    >>> greedy(np.log(np.eye(3, dtype=np.float32)[[0, 1, 1, 0, 1, 2]] + 1e-3))
    ([1, 1, 2], [(1, 2), (4, 4), (5, 5)])
    """
    best = likely.argmax(-1)
    codes: list[int] = []
    steps: list[tuple[int, int]] = []
    before = BLANK
    for step, code in enumerate(best.tolist()):
        if code != BLANK and code == before:
            steps[-1] = (steps[-1][0], step)
        elif code != BLANK:
            codes.append(code)
            steps.append((step, step))
        before = code
    return codes, steps


def prefix_beam(likely: Floats, search: Search, language: Letters | None = None) -> list[int]:
    """Return the most probable letters, over all their alignments (Graves and Jaitly 2014).

    The score of a prefix is the probability of all its alignments, kept apart by whether the last
    step was blank, times the weighted probability by the language model (Hannun et al. 2014,
    shallow fusion).

    Args:
        likely: (S, C), log-probabilities of blank and letters.
        search: options.
        language: a language model over the letters, if any.

    >>> step = np.log(np.array([[0.4, 0.35, 0.25], [0.4, 0.35, 0.25]], np.float32))
    >>> greedy(step)[0], prefix_beam(step, Search())  # 0.16 for nothing, 0.4025 for one letter
    ([], [1])
    """
    beginnings: dict[Text, tuple[float, float]] = {(): (0.0, NEVER)}
    worth: dict[Text, float] = {(): 0.0}
    said: dict[Text, tuple[Any, Floats]] = {}
    if language is not None:
        said[()] = language.begin()
    least = math.log(search.least) if search.least else NEVER
    for step in likely:
        heard = step.tolist()
        tried = [code for code in np.flatnonzero(step > least).tolist() if code != BLANK]
        found: dict[Text, tuple[float, float]] = {}
        for text, (in_blank, in_letter) in beginnings.items():
            whole, last = _either(in_blank, in_letter), text[-1] if text else BLANK
            again = in_letter + heard[last] if text else NEVER
            _add(found, text, whole + heard[BLANK], again)
            for code in tried:
                longer = (*text, code)
                if longer not in worth:
                    worth[longer] = worth[text]
                    if language is not None:
                        expected = float(said[text][1][code - 1])
                        worth[longer] += search.bonus + search.weight * expected
                begun = in_blank if code == last else whole
                _add(found, longer, NEVER, begun + heard[code])
        value = {text: _either(*parts) + worth[text] for text, parts in found.items()}
        ranked = sorted(found, key=lambda text: value[text], reverse=True)
        beginnings = {text: found[text] for text in ranked[: search.beam]}
        worth = {text: worth[text] for text in beginnings}
        if language is not None:
            new = [text for text in beginnings if text not in said]
            states = [said[text[:-1]][0] for text in new]
            answers = language.after(states, [text[-1] - 1 for text in new]) if new else []
            said = {text: of for text, of in said.items() if text in beginnings}
            said |= dict(zip(new, answers, strict=True))
    return list(next(iter(beginnings)))


def _either(a: float, b: float) -> float:
    """Return the logarithm of the sum of two probabilities."""
    more, less = (a, b) if a > b else (b, a)
    return more if less == NEVER else more + math.log1p(math.exp(less - more))


def _add(found: dict[Text, tuple[float, float]], text: Text, blank: float, letter: float) -> None:
    """Add ways to a text that end in a blank, and ways that end in a letter."""
    before = found.get(text, (NEVER, NEVER))
    found[text] = _either(before[0], blank), _either(before[1], letter)


def aligned(likely: Floats, codes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last step of each letter in the most probable alignment (Viterbi).

    Args:
        likely: (S, C), log-probabilities of blank and letters.
        codes: letters; not more than fit into S steps.

    >>> aligned(np.log(np.eye(3, dtype=np.float32)[[0, 1, 1, 0, 1, 2]] + 1e-3), [1, 1, 2])
    [(1, 2), (4, 4), (5, 5)]
    """
    places = np.full(2 * len(codes) + 1, BLANK)
    places[1::2] = codes
    # From two places before, past a blank, unless the letter would be repeated.
    passes = np.zeros(len(places), bool)
    passes[2:] = (places[2:] != BLANK) & (places[2:] != places[:-2])
    best = np.full(len(places), NEVER)
    best[0] = 0.0
    came = np.zeros((len(likely), len(places)), np.int64)
    for step, heard in enumerate(likely):
        before = np.full((3, len(places)), NEVER)
        before[0] = best
        before[1, 1:] = best[:-1]
        before[2, 2:] = best[:-2]
        before[2, ~passes] = NEVER
        if step == 0:  # begins with a blank, or the first letter
            before[:] = NEVER
            before[0, :2] = 0.0
        came[step] = before.argmax(0)
        best = before.max(0) + heard[places]
    place = len(places) - 1
    if len(codes) and best[place - 1] > best[place]:
        place -= 1
    path = []
    for back in came[::-1]:
        path.append(place)
        place -= int(back[place])
    steps = np.array(path[::-1])
    spans = [np.flatnonzero(steps == 2 * letter + 1) for letter in range(len(codes))]
    return [(int(of[0]), int(of[-1])) for of in spans]


def words_of(text: str, steps: Sequence[tuple[int, int]], seconds_a_step: float) -> list[Word]:
    """Join letters to words, with the times of their first and last letter.

    >>> words_of("a b", [(0, 0), (1, 1), (2, 3)], 0.5)
    [Word(text='a', start=0.0, end=0.5), Word(text='b', start=1.0, end=2.0)]
    """
    words, first = [], 0
    for place in range(len(text) + 1):
        if place == len(text) or text[place] == " ":
            if place > first:
                start, end = steps[first][0], steps[place - 1][1] + 1
                words.append(Word(text[first:place], start * seconds_a_step, end * seconds_a_step))
            first = place + 1
    return words
