"""What the network wrote, in words, with where it looked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.tasks.translate.batches import SPECIAL, UNKNOWN
from gated.tasks.translate.search import Hypothesis
from gated.tasks.translate.subwords import Subwords


class Translation(NamedTuple):
    """What the network wrote for a sentence."""

    text: str
    score: float
    source: list[str]
    """The sentence's subwords and its end."""
    subwords: list[str]
    """The translation's, with unknown ones replaced by what was copied, and the end."""
    attention: NDArray[np.float32]
    """`(T, S)`: how much each of `subwords` looked at each of `source`; rows add up to 1."""


class Example(NamedTuple):
    """A sentence of the test part, what it should be, what it became, and how good that is."""

    source: str
    reference: str
    translation: Translation
    chrf: float


NOTHING = Translation("", 0.0, [], [], np.zeros((0, 0), np.float32))
"""The translation of an empty sentence."""


def in_words(
    sentence: str, read: Sequence[int], found: Hypothesis, source: Subwords, target: Subwords
) -> Translation:
    """Put a hypothesis into words; what is unknown becomes what it looked at most.

    Args:
        sentence: that was translated.
        read: its subwords, without the end.
        found: the hypothesis.
        source: the subwords of the sentence's language.
        target: those of the translation's.
    """
    names = [target.names[code] for code in found.codes]
    words = source.words(sentence) if UNKNOWN in found.codes else []
    for place, code in enumerate(found.codes):
        if code == UNKNOWN and words:
            names[place] = words[int(found.attention[place, : len(words)].argmax())]
    end = SPECIAL[-1]
    return Translation(
        target.decode(names),
        found.score,
        [*(source.names[code] for code in read), end],
        [*names, end],
        found.attention,
    )
