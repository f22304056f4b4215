"""Translations in words, with attention and copied unknown words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gated.tasks.translate.batches import SPECIAL, UNKNOWN
from gated.tasks.translate.search import Hypothesis
from gated.tasks.translate.subwords import Subwords


class Translation(NamedTuple):
    """The translation of a sentence."""

    text: str
    score: float
    source: list[str]
    """The sentence's subwords, unknown ones as in its text, and its end."""
    subwords: list[str]
    """The translation's subwords, unknown ones replaced by the copied text, and its end."""
    attention: NDArray[np.float32]
    """`(T, S)`, attention weights of each of `subwords` over each of `source`; rows add up to 1."""


class Example(NamedTuple):
    """A sentence of the test part, its reference, its translation, and the score."""

    source: str
    reference: str
    translation: Translation
    chrf: float


NOTHING = Translation("", 0.0, [], [], np.zeros((0, 0), np.float32))
"""The translation of an empty sentence."""


def in_words(sentence: str, found: Hypothesis, source: Subwords, target: Subwords) -> Translation:
    """Put a hypothesis into words; unknown tokens are replaced by the word with most attention.

    That word is chosen among the source's unknown words; if there are none, among all its words.

    Args:
        sentence: the source sentence.
        found: the hypothesis of its translation.
        source: subwords of the source language.
        target: subwords of the target language.
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
    """Return the first `most` translations with different texts.

    Different sequences of subwords can give the same text.
    """
    texts: dict[str, Translation] = {}
    for translation in translations:
        texts.setdefault(translation.text, translation)
    return list(texts.values())[:most]
