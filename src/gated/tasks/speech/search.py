"""From log-probabilities to letters, and to words with their times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gated.tasks.speech.alphabet import BLANK


@dataclass(frozen=True)
class Word:
    """A word, and when it was heard, in seconds."""

    text: str
    start: float
    end: float


def greedy(likely: NDArray[np.float32]) -> tuple[list[int], list[tuple[int, int]]]:
    """Write the likeliest output of each step, repetitions and blanks left out.

    Args:
        likely: (S, C), log-probabilities.

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


def words_of(text: str, steps: Sequence[tuple[int, int]], seconds_a_step: float) -> list[Word]:
    """Put letters together into words, with the times of their first and last letter.

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
