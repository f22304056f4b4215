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
    """The sentence's subwords, unknown ones as they stand there, and its end."""
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


def in_words(sentence: str, found: Hypothesis, source: Subwords, target: Subwords) -> Translation:
    """Put a hypothesis into words; what is unknown becomes what it looked at most.

    That is, of the source's unknown words the one that it looked at most; where the source has
    none, of all its words.

    Args:
        sentence: that was translated.
        found: the hypothesis.
        source: the subwords of the sentence's language.
        target: those of the translation's.
    """
    pieces = source.pieces(sentence)
    places = [place for place, piece in enumerate(pieces) if piece.code == UNKNOWN]
    places = places or list(range(len(pieces)))
    names = [
        pieces[max(places, key=row.__getitem__)].copied if code == UNKNOWN else target.names[code]
        for code, row in zip(found.codes, found.attention, strict=False)
    ]
    read = [piece.copied if piece.code == UNKNOWN else source.names[piece.code] for piece in pieces]
    end = SPECIAL[-1]
    return Translation(
        target.decode(names), found.score, [*read, end], [*names, end], found.attention
    )


def different(translations: Sequence[Translation], most: int) -> list[Translation]:
    """Return the first `most` translations of those that say different things.

    Subwords can be put together in several ways to the same text.
    """
    texts: dict[str, Translation] = {}
    for translation in translations:
        texts.setdefault(translation.text, translation)
    return list(texts.values())[:most]
