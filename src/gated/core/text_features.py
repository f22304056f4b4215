"""Features of a text that are counted: its words, and its runs of letters, weighted by TF-IDF.

Shapes: F features, C scores.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]

MOST_WORDS, MOST_LETTERS = 3, 5
"""Words of a run of words, and characters of a run of letters, at most."""
BEGIN, END = "\x02", "\x03"
"""Marks of where a text begins and ends."""
WORD = re.compile(r"\b\w+\b")
SPACES = re.compile(r"\s\s+")


def words_in(text: str) -> list[str]:
    """Return the words of a text in small letters, and the pairs and triples of them.

    >>> words_in("To be, or")
    ['to', 'be', 'or', 'to be', 'be or', 'to be or']
    """
    words = WORD.findall(text.lower())
    runs = list(words)
    for length in range(2, MOST_WORDS + 1):
        runs += [" ".join(words[k : k + length]) for k in range(len(words) - length + 1)]
    return runs


def letters_in(text: str) -> list[str]:
    r"""Return the runs of 1 to 5 characters of a text, with marks of its beginning and its end.

    >>> len(letters_in("ab")), letters_in("ab")[-1]
    (10, '\x02ab\x03')
    """
    marked = SPACES.sub(" ", BEGIN + text + END)
    return [
        marked[k : k + length]
        for length in range(1, MOST_LETTERS + 1)
        for k in range(len(marked) - length + 1)
    ]


class Weighted(NamedTuple):
    """The features that a text has."""

    places: NDArray[np.int64]
    """(features of the text,), each once."""
    values: Singles
    """(features of the text,), of length 1 together."""


class View:
    """One way to read a text: its features by name, weighted by TF-IDF.

    A feature that a text has n times counts (1 + log n) · idf, divided by the root of the sum of
    squares over all features of the text.

    Args:
        of: returns the features of a text, as often as they are there.
        names: of the F features, each once.
        idf: (F,), the inverse document frequency of each.
    """

    def __init__(self, of: Callable[[str], list[str]], names: Sequence[str], idf: Singles) -> None:
        self._of, self._idf = of, idf
        self._places = {name: place for place, name in enumerate(names)}

    def __len__(self) -> int:
        """Return F."""
        return len(self._idf)

    def __call__(self, text: str) -> Weighted:
        """Return the features of a text that have a name."""
        counted = Counter(self._of(text))
        known = self._places
        there = [(known[name], count) for name, count in counted.items() if name in known]
        places = np.array([place for place, _ in there], np.int64)
        counts = np.array([count for _, count in there], np.float64)
        order = np.argsort(places)  # sums in one order, whatever the order in the text
        places, counts = places[order], counts[order]
        values = (1 + np.log(counts)) * self._idf[places]
        length = float(np.sqrt((values**2).sum()))
        return Weighted(places, (values / (length or 1.0)).astype(np.float32))


def scores(views: Sequence[View], weights: NDArray[Any], bias: Singles, text: str) -> Singles:
    """Return the scores (C,) of a text, linear in its features.

    Args:
        views: whose features follow one another.
        weights: (F, C) of all views' features.
        bias: (C,).
        text: any.
    """
    found, first = bias.astype(np.float64), 0
    for view in views:
        places, values = view(text)
        rows = weights[first + places].astype(np.float64)
        # One after the other: no product of matrices, whose order may depend on the machine.
        found = found + (values[:, None] * rows).sum(0)
        first += len(view)
    return found.astype(np.float32)
