"""The baselines: the best n-grams of characters or words, and compressors.

All are measured in bits for each character of the same text.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Sequence

import numpy as np

from gated.core.ngrams import Floats, NGrams
from gated.texts.text import Codes
from gated.texts.vocabulary import Points, Vocabulary

MOST_ORDERS = 8, 11
"""Characters before the next one that are counted at most; more where all of the first help."""
WORDS_BEFORE = 4
"""Words before the next one."""
MOST_COUNTED = 5_000_000
"""Characters that are counted or compressed at most, the last ones of the training part."""
FILE_UNIT = 4
"""Bytes by which compressed files grow: those of xz."""


def best_ngrams(training: Codes, validation: Codes, size: int) -> NGrams:
    """Count n-grams, of the order with the fewest bits on the validation part.

    Without a validation part it is the first of `MOST_ORDERS`.
    """
    said = np.asarray(validation)
    for most in MOST_ORDERS:
        counted = NGrams.of(np.asarray(training[-MOST_COUNTED:]), size, most)
        if len(said) < 2:
            break
        every = [counted.up_to(order) for order in range(counted.order + 1)]
        bits = [float(of.bits_of(said).mean()) for of in every]
        counted = every[int(np.argmin(bits))]
        if counted.order < most:
            break
    return counted


def word_ngrams(training: Codes, size: int) -> NGrams:
    """Count n-grams of words, up to five in a row."""
    return NGrams.of(np.asarray(training[-MOST_COUNTED:]), size, WORDS_BEFORE)


class Compressor:
    """Bits of a text by a compressor: how much the compressed training text grows by it."""

    def __init__(self, compress: Callable[[bytes], bytes], before: bytes, pieces: list[bytes]):
        """Take the training text, and the characters of the test, each as its bytes."""
        self._compress, self._before, self._pieces = compress, before, pieces
        self._alone = len(compress(before))

    def bits(self, first: int | None = None) -> float:
        """Return the bits of the `first` characters, by default of all.

        A compressed file grows by whole units and holds a header: a difference below a unit, or
        below 0, is no measurement, and counts as one unit.
        """
        text = self._before + b"".join(self._pieces[:first])
        return 8.0 * max(len(self._compress(text)) - self._alone, FILE_UNIT)

    def of_parts(self, ends: Sequence[int]) -> Floats:
        """Return (G,), the bits of the G parts of the text that end at `ends`, in characters."""
        return np.diff([0.0, *(self.bits(end) for end in ends)])


def compressors_of(
    training: Codes, test: Points, count: int, vocabulary: Vocabulary
) -> dict[str, Compressor]:
    """Return the compressors, by name, for the last `count` characters of the test part.

    The test part is its characters, or bytes, and not its codes: what the vocabulary does not hold
    has to be compressed too.
    """
    pieces = vocabulary.pieces()
    text = [bytes([of]) if vocabulary.unit == "byte" else chr(of).encode() for of in test.tolist()]
    known = [pieces[code] for code in training[-MOST_COUNTED:].tolist()]
    before = b"".join((*known, *text[: len(text) - count]))
    after = text[len(text) - count :]
    return {
        "xz": Compressor(
            lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), before, after
        ),
        "bzip2": Compressor(lambda data: bz2.compress(data, 9), before, after),
    }
